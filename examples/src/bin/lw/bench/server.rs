//! Which process on this machine listens at an address: it is whom all the calls are for.

use std::collections::HashSet;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::usage::Process;

/// The number that Linux gives a listening socket's state.
const LISTENING: &str = "0A";

/// The processes that listen at an address of this machine; none if it is another machine's, or if the system does not
/// let them be seen.
pub(super) fn listeners(address: SocketAddr) -> Vec<Process> {
    let table = ["/proc/net/tcp", "/proc/net/tcp6"].map(|path| fs::read_to_string(path).unwrap_or_default());
    let rows: Vec<Row> = table.iter().flat_map(|text| text.lines().filter_map(Row::parse)).collect();
    let sockets = sockets(&rows, address);
    if sockets.is_empty() { Vec::new() } else { owners(&sockets) }
}

/// The listening sockets that take connections to an address. One that listens there goes before one that listens
/// everywhere, which is asked only for addresses that are certainly of this machine.
fn sockets(rows: &[Row], address: SocketAddr) -> HashSet<u64> {
    let wanted = address.ip().to_canonical();
    let at = |ip: IpAddr| -> HashSet<u64> {
        let fits = |row: &&Row| row.address.port() == address.port() && row.address.ip().to_canonical() == ip;
        rows.iter().filter(fits).map(|row| row.socket).collect()
    };
    let exact = at(wanted);
    if !exact.is_empty() || !wanted.is_loopback() {
        return exact;
    }
    let (v4, v6) = (IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED));
    // One for version 6 usually takes version 4 as well.
    let own = if wanted.is_ipv4() { at(v4) } else { HashSet::new() };
    if own.is_empty() { at(v6) } else { own }
}

/// A row of `/proc/net/tcp` that is a listening socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Row {
    address: SocketAddr,
    socket: u64,
}

impl Row {
    fn parse(line: &str) -> Option<Self> {
        let mut fields = line.split_whitespace();
        let (local, _, state) = (fields.nth(1)?, fields.next()?, fields.next()?);
        if state != LISTENING {
            return None;
        }
        let (ip, port) = local.split_once(':')?;
        let port = u16::from_str_radix(port, 16).ok()?;
        Some(Self { address: SocketAddr::new(parse_ip(ip)?, port), socket: fields.nth(5)?.parse().ok()? })
    }
}

/// Words of 32 bits, each in the order of this machine.
fn parse_ip(hex: &str) -> Option<IpAddr> {
    let word = |at: usize| u32::from_str_radix(hex.get(at..at + 8)?, 16).ok().map(u32::to_ne_bytes);
    match hex.len() {
        8 => Some(Ipv4Addr::from(word(0)?).into()),
        32 => {
            let words = [word(0)?, word(8)?, word(16)?, word(24)?];
            let bytes: [u8; 16] = words.as_flattened().try_into().ok()?;
            Some(Ipv6Addr::from(bytes).into())
        }
        _ => None,
    }
}

/// The processes that hold one of these sockets, as far as they may be looked at.
fn owners(sockets: &HashSet<u64>) -> Vec<Process> {
    let Ok(processes) = fs::read_dir("/proc") else { return Vec::new() };
    let ids = processes.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let mut found: Vec<u32> = ids.filter(|&id| holds(id, sockets)).collect();
    found.sort_unstable();
    found.into_iter().filter_map(Process::find).collect()
}

fn holds(process: u32, sockets: &HashSet<u64>) -> bool {
    let Ok(files) = fs::read_dir(format!("/proc/{process}/fd")) else { return false };
    files.flatten().any(|file| {
        let target = fs::read_link(file.path()).unwrap_or_default();
        let socket = target.to_str().and_then(|text| text.strip_prefix("socket:[")?.strip_suffix(']'));
        socket.and_then(|number| number.parse().ok()).is_some_and(|number| sockets.contains(&number))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1B58 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 101 1 0000000000000000 100 0 0 10 0
   1: 00000000:1B59 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 102 1 0000000000000000 100 0 0 10 0
   2: 0100007F:1B58 0100007F:D3A2 01 00000000:00000000 00:00000000 00000000  1000        0 103 1 0000000000000000 20 4 30 10 -1
   3: 00000000000000000000000000000000:1B5A 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 104 1 0000000000000000 100 0 0 10 0
   4: 00000000000000000000000001000000:1B58 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 105 1 0000000000000000 100 0 0 10 0
   5: 0000000000000000FFFF00000100007F:1B5B 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 106 1 0000000000000000 100 0 0 10 0
   6: nonsense
";

    #[cfg(target_endian = "little")]
    #[test]
    fn the_socket_that_takes_the_connection_is_found() {
        let rows: Vec<Row> = TABLE.lines().filter_map(Row::parse).collect();
        assert_eq!(rows.len(), 5);
        let cases = [
            ("127.0.0.1:7000", Some(101)),
            ("127.0.0.1:7001", Some(102)),
            ("[::1]:7000", Some(105)),
            // It listens for both versions.
            ("127.0.0.1:7002", Some(104)),
            ("127.0.0.1:7003", Some(106)),
            ("127.0.0.1:7004", None),
            // This may be another machine.
            ("10.0.0.1:7001", None),
            ("127.0.0.2:7000", None),
        ];
        for (address, socket) in cases {
            let found = sockets(&rows, address.parse().unwrap());
            assert_eq!(found, socket.into_iter().collect(), "{address}");
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_is_found_by_where_it_listens() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let found = listeners(listener.local_addr().unwrap());
        assert_eq!(found.iter().map(|process| process.id).collect::<Vec<_>>(), [std::process::id()]);
    }
}
