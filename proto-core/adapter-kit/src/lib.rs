//! What every adapter wants from the standard library and none should write again: sockets with the options that
//! long-lived connections need, and one read buffer for each thread.
//!
//! It knows no runtime and no protocol. It is for adapters; applications do not need it.

use std::cell::Cell;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{self, Read};
use std::net::{SocketAddr, TcpListener};
use std::task::Poll;
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, Type};

/// How much the system takes beyond what it has sent: enough to keep a fast link busy, little enough that urgent
/// frames do not wait behind a long queue.
const NOT_SENT_LIMIT: u32 = 128 << 10;
/// The size of a thread's read buffer, in bytes.
const READ_BUFFER: usize = 64 << 10;

/// A listening socket, in non-blocking mode. A port that was in use a moment ago can be used again; one that is in use
/// cannot.
///
/// # Errors
/// The system's.
pub fn listen(address: SocketAddr, backlog: u32) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    #[cfg(not(windows))]
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
    Ok(socket.into())
}

/// Sets what a long-lived connection wants: small frames leave at once, and the system's queue stays short. Options that the system does not know are left out.
///
/// # Errors
/// If even `TCP_NODELAY` cannot be set: the connection has ended already.
pub fn configure<'s>(stream: impl Into<SockRef<'s>>) -> io::Result<()> {
    let socket = stream.into();
    socket.set_tcp_nodelay(true)?;
    #[cfg(any(target_os = "linux", target_os = "android"))]
    {
        // An improvement, not a need: an old system goes on without it.
        let _ = socket.set_tcp_notsent_lowat(NOT_SENT_LIMIT);
    }
    Ok(())
}

/// Lets the system give a connection up when data has stayed unacknowledged, or the peer's window closed, for this long:
/// so a dead path is noticed as long as something is being sent. A system that does not know the option goes on without it.
pub fn limit_stalls<'s>(stream: impl Into<SockRef<'s>>, longest: Duration) {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    let _ = stream.into().set_tcp_user_timeout(Some(longest));
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    let _ = (stream.into(), longest);
}

/// Lets the system keep about so many bytes that have arrived and not been read, or as many as it allows if that is less. A system
/// that refuses goes on as before.
pub fn limit_receive_buffer<'s>(stream: impl Into<SockRef<'s>>, most: u32) {
    // Linux doubles the number, for what it has to know of each packet.
    let _ = stream.into().set_recv_buffer_size(most as usize);
}

/// A number that differs from call to call and from process to process, from the randomness that the standard library
/// protects its hash maps with.
pub fn seed() -> u64 {
    RandomState::new().build_hasher().finish()
}

/// Reads once, at most `most` bytes, from a socket that does not block, without a runtime's knowledge.
///
/// # Errors
/// The socket's; that there is nothing to read is none.
pub fn read_now<'s>(
    stream: impl Into<SockRef<'s>>,
    most: usize,
    sink: &mut dyn FnMut(&mut [u8]),
) -> Poll<io::Result<usize>> {
    let socket = stream.into();
    let read: io::Result<usize> = with_read_buffer(most, |buffer| {
        let n = (&*socket).read(buffer)?;
        if n > 0 {
            sink(&mut buffer[..n]);
        }
        Ok(n)
    });
    match read {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Poll::Pending,
        read => Poll::Ready(read),
    }
}

/// Lends this thread's read buffer, or the first `most` bytes of it. All connections of a thread share it, so that idle ones
/// hold none.
///
/// It is not lent twice at a time: if `read` asks again, it gets another buffer, which is dropped afterwards.
pub fn with_read_buffer<T>(most: usize, read: impl FnOnce(&mut [u8]) -> T) -> T {
    thread_local!(static BUFFER: Cell<Vec<u8>> = const { Cell::new(Vec::new()) });
    let mut buffer = BUFFER.take();
    if buffer.is_empty() {
        buffer = vec![0; READ_BUFFER];
    }
    let result = read(&mut buffer[..most.min(READ_BUFFER)]);
    BUFFER.set(buffer);
    result
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, TcpStream};

    #[test]
    fn a_port_in_use_is_refused() {
        let first = listen((Ipv4Addr::LOCALHOST, 0).into(), 8).unwrap();
        let again = listen(first.local_addr().unwrap(), 8);
        assert_eq!(again.unwrap_err().kind(), io::ErrorKind::AddrInUse);
    }

    #[test]
    fn options_are_set() {
        let listener = listen((Ipv4Addr::LOCALHOST, 0).into(), 8).unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        configure(&stream).unwrap();
        assert!(stream.nodelay().unwrap());
        limit_receive_buffer(&stream, 64 << 10);
        assert!(((64 << 10)..=(128 << 10)).contains(&SockRef::from(&stream).recv_buffer_size().unwrap()));
        #[cfg(target_os = "linux")]
        {
            limit_stalls(&stream, Duration::from_secs(7));
            assert_eq!(SockRef::from(&stream).tcp_user_timeout().unwrap(), Some(Duration::from_secs(7)));
        }
    }

    #[test]
    fn a_buffer_can_be_asked_for_while_it_is_lent() {
        let inner = with_read_buffer(usize::MAX, |outer| {
            outer[0] = 1;
            with_read_buffer(7, |inner| (outer.len(), inner.len(), inner[0]))
        });
        assert_eq!(inner, (READ_BUFFER, 7, 0));
    }
}
