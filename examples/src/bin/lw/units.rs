//! Durations and sizes as people write them: `250ms`, `2s`, `64KiB`.

use std::time::Duration;

/// Reads a duration: a number with `us`, `ms`, `s`, `m` or `h`, or a plain number of milliseconds.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || {
        format!(
            "{} is no duration: write it like 250ms, 1.5s, 2m or 1h; a plain number is milliseconds",
            quoted(text)
        )
    };
    let (number, unit) = split(text).ok_or_else(wrong)?;
    let seconds = match unit {
        "us" | "µs" => number / 1e6,
        "" | "ms" => number / 1e3,
        "s" => number,
        "m" | "min" => number * 60.0,
        "h" => number * 3600.0,
        _ => return Err(wrong()),
    };
    Duration::try_from_secs_f64(seconds).map_err(|_| wrong())
}

/// Reads a duration, or `never`.
pub(crate) fn deadline(text: &str) -> Result<Deadline, String> {
    match text {
        "never" => Ok(Deadline::Never),
        _ => duration(text).map(Deadline::After),
    }
}

/// How long to wait for the answer to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deadline {
    After(Duration),
    Never,
}

impl Deadline {
    pub(crate) const fn limit(self) -> Option<Duration> {
        match self {
            Self::After(time) => Some(time),
            Self::Never => None,
        }
    }
}

/// Reads an amount of bytes: a number, with `K`, `M` or `G` (or `KiB` …) for powers of 1,024.
pub(crate) fn size(text: &str) -> Result<u32, String> {
    let wrong = || format!("{} is no size: write it like 65536, 64K or 1.5MiB, below 4GiB", quoted(text));
    let (number, unit) = split(text).ok_or_else(wrong)?;
    let unit = unit.strip_suffix("iB").or_else(|| unit.strip_suffix('B')).unwrap_or(unit);
    let bytes = match unit {
        "" => number,
        "k" | "K" => number * 1024.0,
        "m" | "M" => number * 1024.0 * 1024.0,
        "g" | "G" => number * 1024.0 * 1024.0 * 1024.0,
        _ => return Err(wrong()),
    };
    if bytes <= f64::from(u32::MAX) && bytes.fract() == 0.0 { Ok(bytes as u32) } else { Err(wrong()) }
}

/// Reads how often something happens in a second: a number, with `k` or `M` for thousands or millions.
pub(crate) fn rate(text: &str) -> Result<f64, String> {
    const MOST: f64 = 1e7;
    let wrong = || {
        format!("{} is no rate: write it like 500, 2.5k or 1M, above 0 and up to 10M a second", quoted(text))
    };
    let (number, unit) = split(text.strip_suffix("/s").unwrap_or(text)).ok_or_else(wrong)?;
    let rate = match unit {
        "" => number,
        "k" | "K" => number * 1e3,
        "m" | "M" => number * 1e6,
        _ => return Err(wrong()),
    };
    if rate > 0.0 && rate <= MOST { Ok(rate) } else { Err(wrong()) }
}

/// Writes a number with its thousands apart.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// The number in front, and what stands behind it.
fn split(text: &str) -> Option<(f64, &str)> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    Some((number.parse().ok()?, unit.trim_start()))
}

fn quoted(text: &str) -> String {
    if text.chars().count() <= 40 { format!("{text:?}") } else { "this".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_people_write_them() {
        let cases = [
            ("250ms", 250_000),
            ("2s", 2_000_000),
            ("1.5s", 1_500_000),
            ("40", 40_000),
            ("0", 0),
            ("10us", 10),
            ("2m", 120_000_000),
            ("1 h\n", 3_600_000_000),
        ];
        for (text, micros) in cases {
            assert_eq!(duration(text), Ok(Duration::from_micros(micros)), "{text}");
        }
        for text in
            ["", "s", "soon", "-1s", "1..2s", "1e3s", "1d", "inf", "nan", "1s2", "9999999999999999999999h"]
        {
            assert!(duration(text).is_err(), "{text}");
        }
        assert_eq!(deadline("never"), Ok(Deadline::Never));
    }

    #[test]
    fn sizes_are_powers_of_1024() {
        let cases = [
            ("65536", 65536),
            ("64K", 65536),
            ("64 KiB", 65536),
            ("1.5MB", 3 << 19),
            ("1G", 1 << 30),
            ("4294967295", u32::MAX),
        ];
        for (text, bytes) in cases {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for text in ["", "K", "4G", "-1", "1.5", "1T", "0.3K"] {
            assert!(size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn rates_are_powers_of_1000() {
        for (text, calls) in [("500", 500.0), ("0.5", 0.5), ("2.5k", 2500.0), ("1M", 1e6), ("20/s", 20.0)] {
            assert_eq!(rate(text), Ok(calls), "{text}");
        }
        for text in ["", "0", "-1", "k", "11M", "1G", "fast", "nan", "1e3"] {
            assert!(rate(text).is_err(), "{text}");
        }
    }

    #[test]
    fn thousands_stand_apart() {
        assert_eq!([0, 999, 1000, 12_345, 1_234_567].map(grouped).join(" "), "0 999 1,000 12,345 1,234,567");
    }
}
