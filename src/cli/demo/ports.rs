//! `--free-ports`: the channel files once more, beside the store, with ports that nobody else has.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use regex::{Captures, Regex};

use crate::config::from::SourceOptions;
use crate::config::load::Loaded;
use crate::config::to::TransportOptions;
use crate::source::mllp::options::Side;

/// What stands instead of each port of the files; 0 is a port that the system chooses.
pub(super) type Ports = BTreeMap<u16, u16>;

/// Every port that a channel listens on is chosen by the system.
pub(super) fn listeners(loaded: &Loaded) -> Ports {
    let mut ports = Ports::new();
    for channel in &loaded.channels {
        let port = match &channel.source {
            SourceOptions::Mllp(options) => match options.side {
                Side::Listen(address) => Some(address.port()),
                Side::Connect { .. } => None,
            },
            SourceOptions::Http(options) => Some(options.listen.port()),
            SourceOptions::Fhir(options) => Some(options.listen.port()),
            _ => None,
        };
        ports.extend(port.map(|port| (port, 0)));
        for destination in &channel.destinations {
            if let TransportOptions::Mllp(options) = &destination.transport {
                ports.extend(options.listen.as_ref().map(|listen| (listen.address.port(), 0)));
            }
        }
    }
    ports
}

/// Copies a folder of channel files with other ports; samples and tables beside them stay as they are.
pub(super) fn copy(from: &Path, to: &Path, ports: &Ports) -> io::Result<()> {
    // A data directory inside the channels' own is not copied into itself.
    fs::create_dir_all(to)?;
    let target = to.canonicalize()?;
    for entry in fs::read_dir(from)? {
        let path = entry?.path();
        let Some(name) = path.file_name() else { continue };
        let yaml = path.extension().is_some_and(|ending| ending == "yaml" || ending == "yml");
        if path.is_dir() {
            if !target.starts_with(path.canonicalize()?) {
                copy(&path, &to.join(name), &Ports::new())?;
            }
        } else if yaml && !ports.is_empty() {
            fs::write(to.join(name), replaced(&fs::read_to_string(&path)?, ports))?;
        } else {
            fs::copy(&path, to.join(name))?;
        }
    }
    Ok(())
}

/// A text with other ports: they stand after a colon, in `port: 7701` as in `127.0.0.1:7701`.
fn replaced(text: &str, ports: &Ports) -> String {
    let Ok(pattern) = Regex::new(r"(:\s*)(\d{1,5})\b") else { return text.to_owned() };
    let other = |found: &Captures<'_>| {
        let (all, colon, port) = (found.get(0), found.get(1), found.get(2));
        let instead = port.and_then(|port| ports.get(&port.as_str().parse().ok()?));
        match (instead, colon) {
            (Some(instead), Some(colon)) => format!("{}{instead}", colon.as_str()),
            _ => all.map_or_else(String::new, |all| all.as_str().to_owned()),
        }
    };
    pattern.replace_all(text, other).into_owned()
}

#[cfg(test)]
mod tests {
    use super::{Ports, copy, replaced};

    #[test]
    fn ports_change_wherever_they_stand_and_nothing_else() {
        let ports = Ports::from([(7701, 40_001), (6661, 0)]);
        let text = "mllp: {listen: 127.0.0.1:6661}\nto: {host: a, port: 7701}\nurl: http://[::1]:7701/x:77012\nid: 17701";
        let expected = "mllp: {listen: 127.0.0.1:0}\nto: {host: a, port: 40001}\nurl: http://[::1]:40001/x:77012\nid: 17701";
        assert_eq!(replaced(text, &ports), expected);
    }

    #[test]
    fn a_folder_is_not_copied_into_itself() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("samples")).unwrap();
        std::fs::write(folder.path().join("samples/one.hl7"), "MSH|:7701").unwrap();
        std::fs::write(folder.path().join("one.yaml"), "port: 7701").unwrap();
        let target = folder.path().join("data/channels");
        for _again in 0..2 {
            copy(folder.path(), &target, &Ports::from([(7701, 1)])).unwrap();
        }
        let read = |name: &str| std::fs::read_to_string(target.join(name)).unwrap();
        assert_eq!(
            (read("one.yaml").as_str(), read("samples/one.hl7").as_str()),
            ("port: 1", "MSH|:7701")
        );
        assert!(!target.join("data").exists());
    }
}
