//! Texts of values into what they mean: durations, sizes, addresses and the like. Each refusal says
//! what to write instead.

use std::net::SocketAddr;
use std::time::Duration;

/// Why a text is no such value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrong {
    /// Stable code.
    pub code: &'static str,
    /// What is wrong, without naming the key.
    pub message: String,
    /// What to write.
    pub hint: String,
    /// What was surely meant.
    pub fix: Option<String>,
}

impl Wrong {
    fn new(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { code: "E0104", message: message.into(), hint: hint.into(), fix: None }
    }

    fn fix(mut self, fix: impl Into<String>) -> Self {
        self.fix = Some(fix.into());
        self
    }

    fn range(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { code: "E0105", ..Self::new(message, hint) }
    }
}

/// Units of time: as written, milliseconds, other spellings people use.
const TIMES: &[(&str, u64, &[&str])] = &[
    ("ms", 1, &["msec", "millis", "milliseconds"]),
    ("s", 1000, &["sec", "secs", "second", "seconds", "S"]),
    ("m", 60_000, &["min", "mins", "minute", "minutes", "M"]),
    ("h", 3_600_000, &["hr", "hrs", "hour", "hours", "H"]),
    ("d", 86_400_000, &["day", "days", "D"]),
];

/// Units of size: as written, bytes, other spellings people use.
const SIZES: &[(&str, u64, &[&str])] = &[
    ("KiB", 1 << 10, &["KB", "kB", "kb", "K", "k", "kib"]),
    ("MiB", 1 << 20, &["MB", "mB", "mb", "M", "m", "mib"]),
    ("GiB", 1 << 30, &["GB", "gB", "gb", "G", "g", "gib"]),
    ("B", 1, &["b", "bytes", "byte"]),
];

/// A duration such as `500ms`, `5s`, `2m`, `72h`, `7d`.
///
/// # Errors
/// When it is none, or longer than 100 years.
pub fn duration(text: &str) -> Result<Duration, Wrong> {
    const HINT: &str = "write a number and a unit: 500ms, 5s, 2m, 72h or 7d";
    let (number, factor) = quantity(text, TIMES, "duration", HINT)?;
    number
        .checked_mul(factor)
        .filter(|ms| *ms <= 100 * 366 * 86_400_000)
        .map(Duration::from_millis)
        .ok_or_else(|| Wrong::range(format!("`{text}` is longer than 100 years"), HINT))
}

/// A size such as `64KiB`, `2MiB`, `1GiB`, in bytes.
///
/// # Errors
/// When it is none, or does not fit the machine.
pub fn size(text: &str) -> Result<usize, Wrong> {
    const HINT: &str = "write a number and a unit: 100B, 64KiB, 2MiB or 1GiB";
    let (number, factor) = quantity(text, SIZES, "size", HINT)?;
    number
        .checked_mul(factor)
        .and_then(|bytes| usize::try_from(bytes).ok())
        .ok_or_else(|| Wrong::range(format!("`{text}` is too large"), HINT))
}

fn quantity(
    text: &str,
    units: &[(&str, u64, &[&str])],
    what: &str,
    hint: &str,
) -> Result<(u64, u64), Wrong> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at_checked(digits).unwrap_or((text, ""));
    let wrong = |said: String| Wrong::new(said, hint);
    let Ok(number) = number.parse::<u64>() else {
        return Err(wrong(format!("`{text}` is no {what}")));
    };
    let trimmed = unit.trim();
    if trimmed.is_empty() {
        return Err(wrong(format!("`{text}` has no unit")));
    }
    let known =
        units.iter().find(|(name, _, others)| *name == trimmed || others.contains(&trimmed));
    match known {
        Some((name, factor, _)) if *name == unit => Ok((number, *factor)),
        Some((name, ..)) => {
            Err(wrong(format!("`{text}` is written `{number}{name}`"))
                .fix(format!("{number}{name}")))
        }
        None => Err(wrong(format!("`{trimmed}` is no unit of a {what}"))),
    }
}

/// A share such as `10%`, from 0 to 100.
///
/// # Errors
/// When it is none.
pub fn percent(text: &str) -> Result<u32, Wrong> {
    const HINT: &str = "write a whole number from 0 to 100 and a percent sign: 10%";
    let number = text.strip_suffix('%').map(str::trim_end).and_then(|n| n.parse::<u32>().ok());
    match number {
        Some(number) if number <= 100 => Ok(number),
        Some(_) => Err(Wrong::range(format!("`{text}` is more than all of it"), HINT)),
        None => Err(Wrong::new(format!("`{text}` is no percentage"), HINT)),
    }
}

/// `true` or `false`.
///
/// # Errors
/// When it is neither.
pub fn boolean(text: &str) -> Result<bool, Wrong> {
    let meant = match text.to_lowercase().as_str() {
        "true" | "yes" | "on" | "y" => Some(true),
        "false" | "no" | "off" | "n" => Some(false),
        _ => None,
    };
    match (text, meant) {
        ("true", _) => Ok(true),
        ("false", _) => Ok(false),
        (_, Some(meant)) => {
            let said = format!("`{text}` is written `{meant}`");
            Err(Wrong::new(said, "write true or false").fix(meant.to_string()))
        }
        _ => Err(Wrong::new(format!("`{text}` is neither true nor false"), "write true or false")),
    }
}

/// A whole number within limits.
///
/// # Errors
/// When it is none, or outside.
pub fn integer(text: &str, min: u64, max: u64) -> Result<u64, Wrong> {
    let hint = if max == u64::MAX {
        format!("write a whole number from {min}")
    } else {
        format!("write a whole number from {min} to {max}")
    };
    match text.parse::<u64>() {
        Ok(number) if (min..=max).contains(&number) => Ok(number),
        Ok(_) => Err(Wrong::range(format!("{text} is outside of what is allowed"), hint)),
        Err(_) => Err(Wrong::new(format!("`{text}` is no whole number"), hint)),
    }
}

/// A decimal number of at least 1, such as `1.5`.
///
/// # Errors
/// When it is none, or less than 1, or more than 100.
pub fn factor(text: &str) -> Result<f64, Wrong> {
    const HINT: &str = "write a number from 1 to 100, e.g. 2 or 1.5";
    match text.parse::<f64>() {
        Ok(number) if (1.0..=100.0).contains(&number) => Ok(number),
        Ok(_) => Err(Wrong::range(format!("{text} is outside of what is allowed"), HINT)),
        Err(_) => Err(Wrong::new(format!("`{text}` is no number"), HINT)),
    }
}

/// An address and port to listen on.
///
/// # Errors
/// When it is none. Names are refused: a listener needs an address of this machine.
pub fn address(text: &str) -> Result<SocketAddr, Wrong> {
    const HINT: &str = "write address:port, e.g. 0.0.0.0:6661 for all networks or 127.0.0.1:6661 \
                        for this machine alone";
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    let wrong = Wrong::new(format!("`{text}` is no address with a port"), HINT);
    let (host, port) = text.rsplit_once(':').unwrap_or(("", text));
    if port.parse::<u16>().is_err() {
        return Err(wrong);
    }
    match host {
        "" | "*" => Err(wrong.fix(format!("0.0.0.0:{port}"))),
        "localhost" => Err(wrong.fix(format!("127.0.0.1:{port}"))),
        _ => Err(wrong),
    }
}

/// A system to connect to: host name or address, and port.
///
/// # Errors
/// When it is none.
pub fn endpoint(text: &str) -> Result<(String, u16), Wrong> {
    const HINT: &str = "write host:port, e.g. lis.hospital.example:2575 or [fd00::5]:2575";
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Ok((address.ip().to_string(), address.port()));
    }
    let Some((name, port)) = text.rsplit_once(':') else {
        return Err(Wrong::new(format!("`{text}` has no port"), HINT));
    };
    match port.parse::<u16>() {
        Ok(port) if port > 0 => host(name).map(|name| (name, port)),
        _ => Err(Wrong::new(format!("`{port}` is no port"), HINT)),
    }
}

/// A host name or an IP address.
///
/// # Errors
/// When it is none.
pub fn host(text: &str) -> Result<String, Wrong> {
    const HINT: &str = "write a host name or an IP address, e.g. lis.hospital.example";
    if text.parse::<std::net::IpAddr>().is_ok() {
        return Ok(text.to_owned());
    }
    let label = |part: &str| {
        (1..=63).contains(&part.len())
            && !part.starts_with('-')
            && !part.ends_with('-')
            && part.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
    };
    let trimmed = text.strip_suffix('.').unwrap_or(text);
    if trimmed.len() > 253 || !trimmed.split('.').all(label) {
        return Err(Wrong::new(format!("`{text}` is no host name"), HINT));
    }
    Ok(text.to_owned())
}

/// The name of a secret, written `secret/name`.
///
/// # Errors
/// When it is not written so. The text itself is not repeated: it may be the secret.
pub fn secret(text: &str) -> Result<&str, Wrong> {
    const HINT: &str = "write secret/NAME; its value stands in the file NAME of the secrets directory \
                        or in the environment (MEDWAY_SECRET_NAME)";
    match text.strip_prefix("secret/") {
        Some(name) if is_name(name) => Ok(name),
        Some(name) => Err(Wrong::new(format!("`{name}` is no name of a secret"), HINT)),
        None => {
            Err(Wrong { code: "E0109", ..Wrong::new("a secret stands in the file itself", HINT) })
        }
    }
}

/// Whether a text can name a channel, destination, secret or profile: small letters, digits, `-`, `_`.
#[must_use]
pub fn is_name(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        && text
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_'))
}

/// A name (see [`is_name`]).
///
/// # Errors
/// When it is none.
pub fn name(text: &str) -> Result<&str, Wrong> {
    if is_name(text) {
        return Ok(text);
    }
    let hint =
        "names are made of small letters, digits, - and _ (at most 64), e.g. adt-patient-sync";
    let wrong = Wrong::new(format!("`{text}` cannot be a name"), hint);
    let mended: String = text
        .to_lowercase()
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '-' })
        .collect();
    Err(if is_name(&mended) { wrong.fix(mended) } else { wrong })
}

/// An `http` or `https` address; parts in `<…>` are filled in for each message.
///
/// # Errors
/// When it is none, or holds a password.
pub fn url(text: &str) -> Result<&str, Wrong> {
    const HINT: &str = "write e.g. https://emr.hospital.example/hooks/adt";
    let Some(rest) = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")) else {
        return Err(Wrong::new("the address does not begin with https:// or http://", HINT));
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.contains('@') {
        let hint = "use `token: secret/NAME` or `headers` with a secret instead";
        return Err(Wrong {
            code: "E0109",
            ..Wrong::new("a user or password stands in the URL", hint)
        });
    }
    if authority.contains(['<', '>']) {
        let hint = "only the path and the query of a URL may be filled in from a message";
        return Err(Wrong::new("the host would come from the message", hint));
    }
    let (name, port) = match authority.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => (name, Some(port)),
        _ => (authority, None),
    };
    if port.is_some_and(|port| port.parse::<u16>().is_err()) {
        return Err(Wrong::new("the port of the URL is no number up to 65535", HINT));
    }
    let bare = name.strip_prefix('[').and_then(|n| n.strip_suffix(']')).unwrap_or(name);
    host(bare).map(|_| text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, ms) in [
            ("500ms", 500),
            ("5s", 5000),
            ("2m", 120_000),
            ("72h", 259_200_000),
            ("7d", 604_800_000),
        ] {
            assert_eq!(duration(text).unwrap().as_millis(), ms, "{text}");
        }
        for (text, fix) in [
            ("5 s", Some("5s")),
            ("5sec", Some("5s")),
            ("2min", Some("2m")),
            ("5", None),
            ("", None),
            ("s", None),
            ("1.5h", None),
            ("-1s", None),
            ("99999999999999999999s", None),
        ] {
            assert_eq!(duration(text).unwrap_err().fix.as_deref(), fix, "{text}");
        }
        assert_eq!(duration("40000d").unwrap_err().code, "E0105");
    }

    #[test]
    fn sizes() {
        assert_eq!(size("2MiB").unwrap(), 2 << 20);
        assert_eq!(size("100B").unwrap(), 100);
        assert_eq!(size("2MB").unwrap_err().fix.as_deref(), Some("2MiB"));
        assert_eq!(size("2").unwrap_err().message, "`2` has no unit");
        assert_eq!(size("18446744073709551615GiB").unwrap_err().code, "E0105");
    }

    #[test]
    fn small_values() {
        assert_eq!(percent("10%").unwrap(), 10);
        assert_eq!(percent("110%").unwrap_err().code, "E0105");
        assert!(percent("10").is_err());
        assert!(boolean("true").unwrap());
        assert_eq!(boolean("Yes").unwrap_err().fix.as_deref(), Some("true"));
        assert_eq!(integer("7", 1, 10).unwrap(), 7);
        assert_eq!(integer("11", 1, 10).unwrap_err().code, "E0105");
        assert_eq!(integer("x", 1, 10).unwrap_err().code, "E0104");
        assert!((factor("1.5").unwrap() - 1.5).abs() < f64::EPSILON);
        assert!(factor("0.5").is_err() && factor("NaN").is_err());
    }

    #[test]
    fn places_to_listen_and_to_connect() {
        assert_eq!(address("0.0.0.0:6661").unwrap().port(), 6661);
        assert_eq!(address("[::]:6661").unwrap().port(), 6661);
        assert_eq!(address("6661").unwrap_err().fix.as_deref(), Some("0.0.0.0:6661"));
        assert_eq!(address("localhost:1").unwrap_err().fix.as_deref(), Some("127.0.0.1:1"));
        assert!(address("0.0.0.0:66610").is_err());
        assert_eq!(endpoint("a.example:2575").unwrap(), ("a.example".to_owned(), 2575));
        assert_eq!(endpoint("[fd00::5]:1").unwrap(), ("fd00::5".to_owned(), 1));
        for text in ["a.example", "a.example:0", "a b:1", ":1", "a..b:1"] {
            assert!(endpoint(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_secret_is_only_named() {
        assert_eq!(secret("secret/emr-hook").unwrap(), "emr-hook");
        let wrong = secret("hunter2").unwrap_err();
        assert_eq!(wrong.code, "E0109");
        assert!(!format!("{wrong:?}").contains("hunter2"));
        assert_eq!(url("https://u:p@h.example/x").unwrap_err().code, "E0109");
    }

    #[test]
    fn urls() {
        for text in ["https://emr.example/hooks/<PV1-3.1>?a=b", "http://[::1]:8080/", "http://h:1"]
        {
            assert!(url(text).is_ok(), "{text}");
        }
        for text in
            ["emr.example/x", "ftp://h/x", "https://<MSH-5>/x", "https://h:x/", "https:///x"]
        {
            assert!(url(text).is_err(), "{text}");
        }
    }

    #[test]
    fn names() {
        assert_eq!(name("adt-sync_2").unwrap(), "adt-sync_2");
        assert_eq!(name("ADT Sync").unwrap_err().fix.as_deref(), Some("adt-sync"));
        assert_eq!(name("频道").unwrap_err().fix, None);
    }
}
