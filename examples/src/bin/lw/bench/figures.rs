//! Numbers as people read them: three digits and a unit that suits.

use super::clock::Nanos;
use crate::units::grouped;

/// A length of time: `412 µs`, `1.10 ms`, `12.3 s`.
pub(super) fn time(time: Nanos) -> String {
    let micros = time as f64 / 1e3;
    // What would be rounded up to four digits takes the next unit.
    if micros < 999.5 {
        format!("{} µs", three_digits(micros))
    } else if micros < 999.5e3 {
        format!("{} ms", three_digits(micros / 1e3))
    } else {
        format!("{} s", three_digits(micros / 1e6))
    }
}

/// A share of the whole: `47.5 %`.
pub(super) fn percent(share: f64) -> String {
    // Little is not nothing.
    if share > 0.0 && share < 0.0001 {
        "below 0.01 %".to_owned()
    } else {
        format!("{} %", three_digits(share * 100.0))
    }
}

/// How often in a second: `601,234`, `12.3`.
pub(super) fn rate(rate: f64) -> String {
    if rate < 99.95 { three_digits(rate) } else { grouped(rate.round() as u64) }
}

/// Bytes in a second, with powers of 1,000: `38.5 MB/s`.
pub(super) fn bytes_per_second(bytes: f64) -> String {
    scaled(bytes, 1000.0, ["B/s", "kB/s", "MB/s", "GB/s"])
}

/// An amount of memory, with powers of 1,024: `12.3 MiB`.
pub(super) fn memory(bytes: u64) -> String {
    scaled(bytes as f64, 1024.0, ["B", "KiB", "MiB", "GiB"])
}

/// An amount and the name of what it is an amount of: `1 thread`, `2 threads`.
pub(super) fn amount(number: u64, name: &str) -> String {
    format!("{} {name}{}", grouped(number), if number == 1 { "" } else { "s" })
}

/// Text from elsewhere, in one line that cannot move a terminal's cursor.
pub(super) fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

fn scaled(amount: f64, step: f64, units: [&str; 4]) -> String {
    let (mut amount, mut unit) = (amount, 0);
    while amount >= 999.5 && unit + 1 < units.len() {
        (amount, unit) = (amount / step, unit + 1);
    }
    if unit == 0 {
        format!("{amount:.0} {}", units[0])
    } else {
        format!("{} {}", three_digits(amount), units[unit])
    }
}

fn three_digits(number: f64) -> String {
    if number < 9.995 {
        format!("{number:.2}")
    } else if number < 99.95 {
        format!("{number:.1}")
    } else {
        format!("{number:.0}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_three_digits() {
        let cases = [
            (0, "0.00 µs"),
            (9_870, "9.87 µs"),
            (99_960, "100 µs"),
            (412_000, "412 µs"),
            (999_600, "1.00 ms"),
            (1_104_000, "1.10 ms"),
            (999_499_999, "999 ms"),
            (12_340_000_000, "12.3 s"),
            (7_200_000_000_000, "7200 s"),
        ];
        for (nanos, text) in cases {
            assert_eq!(time(nanos), text);
        }
    }

    #[test]
    fn rates_and_amounts_have_units() {
        assert_eq!([0.0, 0.5, 12.34, 99.96, 601_234.4].map(rate).join(" "), "0.00 0.50 12.3 100 601,234");
        let rates = [0.0, 999.0, 1500.0, 38_478_976.0, 2e12];
        assert_eq!(rates.map(bytes_per_second).join(", "), "0 B/s, 999 B/s, 1.50 kB/s, 38.5 MB/s, 2000 GB/s");
        assert_eq!([5, 5_640_192].map(memory).join(", "), "5 B, 5.38 MiB");
        assert_eq!(
            [(1, "thread"), (2000, "call")].map(|(n, name)| amount(n, name)).join(", "),
            "1 thread, 2,000 calls"
        );
        assert_eq!(
            [1.0, 0.475, 0.0, 0.000_001].map(percent).join(", "),
            "100 %, 47.5 %, 0.00 %, below 0.01 %"
        );
        assert_eq!(plain("a\u{1b}[2J\nb"), "a\u{fffd}[2J\u{fffd}b");
    }
}
