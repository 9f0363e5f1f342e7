//! Made-up people, Chinese and Western, and what happens to them. Any likeness is chance: names are
//! drawn from short lists, numbers from the generator.

use fastrand::Rng;

/// A made-up patient.
#[derive(Debug, Clone)]
pub(crate) struct Person {
    /// Medical record number, unique within one run.
    pub(crate) mrn: u32,
    /// Family name.
    pub(crate) family: &'static str,
    /// Given name.
    pub(crate) given: &'static str,
    /// `YYYYMMDD`.
    pub(crate) born: String,
    /// `M` or `F`.
    pub(crate) sex: &'static str,
    /// Ward.
    pub(crate) ward: &'static str,
    /// Bed on the ward.
    pub(crate) bed: u8,
    /// Number of the visit.
    pub(crate) visit: u32,
}

const WESTERN: &[(&str, &[&str], &[&str])] = &[
    ("Miller", &["Anna", "Clara", "Ruth"], &["Paul", "Henry", "Omar"]),
    ("Garcia", &["Lucia", "Elena"], &["Diego", "Mateo"]),
    ("Nowak", &["Zofia", "Maria"], &["Jan", "Piotr"]),
    ("O'Brien", &["Aoife", "Nora"], &["Sean", "Liam"]),
    ("Müller", &["Greta", "Ida"], &["Jürgen", "Max"]),
    ("Haddad", &["Layla"], &["Karim"]),
];

const CHINESE: &[(&str, &[&str], &[&str])] = &[
    ("张", &["丽华", "秀英", "晓梅"], &["伟", "建国", "志强"]),
    ("王", &["芳", "桂兰"], &["磊", "海涛"]),
    ("李", &["娜", "静怡"], &["强", "文博"]),
    ("刘", &["洋", "雪"], &["军", "俊杰"]),
    ("陈", &["婷婷"], &["浩然"]),
    ("欧阳", &["若兰"], &["修文"]),
];

const WARDS: &[&str] = &["ICU", "CARD", "SURG", "MED1", "MED2", "PAED", "NEUR"];

/// Whose names are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Names {
    /// Chinese and Western ones.
    Mixed,
    /// Chinese ones.
    Chinese,
    /// Western ones within Latin-1.
    Western,
}

/// Draws a patient.
pub(crate) fn person(rng: &mut Rng, mrn: u32, names: Names) -> Person {
    let table = match names {
        Names::Chinese => CHINESE,
        Names::Western => WESTERN,
        Names::Mixed if rng.bool() => CHINESE,
        Names::Mixed => WESTERN,
    };
    let (family, women, men) = rng.choice(table).copied().unwrap_or(("Test", &["Eve"], &["Adam"]));
    let woman = rng.bool();
    let given = rng.choice(if woman { women } else { men }).copied().unwrap_or("Eve");
    let (year, month, day) = (rng.u16(1930..2024), rng.u8(1..=12), rng.u8(1..=28));
    Person {
        mrn,
        family,
        given,
        born: format!("{year:04}{month:02}{day:02}"),
        sex: if woman { "F" } else { "M" },
        ward: rng.choice(WARDS).copied().unwrap_or("MED1"),
        bed: rng.u8(1..=24),
        visit: rng.u32(100_000..1_000_000),
    }
}
