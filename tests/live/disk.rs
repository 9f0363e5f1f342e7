//! Disks that fail: errors of the system calls that write and sync, injected with `strace`, and a power
//! cut, played with a file system that is shut down without its log. What this machine does not allow is
//! said and left out.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::engine::Engine;
use crate::journal::Journal;
use crate::peers::{Link, Manner, plain_receiver, receiver, sender, until, update};

/// `strace` on a running process, failing some of its system calls.
struct Tracer(Child);

impl Tracer {
    /// `None` where processes cannot be traced.
    fn attach(pid: u32, calls: &str, error: &str) -> Option<Self> {
        let child = Command::new("strace")
            .args(["-f", "-qq", "-o", "/dev/null", "-p", &pid.to_string()])
            .args(["-e", &format!("trace={calls}")])
            .args(["-e", &format!("inject={calls}:error={error}")])
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let mut tracer = Self(child);
        let deadline = Instant::now() + Duration::from_secs(60);
        while !all_traced(pid) {
            if tracer.0.try_wait().unwrap().is_some() || Instant::now() > deadline {
                return None;
            }
            std::thread::park_timeout(Duration::from_millis(5));
        }
        Some(tracer)
    }
}

impl Drop for Tracer {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// Whether every thread of a process has its tracer.
fn all_traced(pid: u32) -> bool {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    threads.into_iter().all(|thread| {
        let status = std::fs::read_to_string(thread.path().join("status")).unwrap_or_default();
        status.lines().any(|line| line.starts_with("TracerPid:") && !line.ends_with("\t0"))
    })
}

/// The disk fails under a running engine: nothing is acknowledged any more, the engine says why and ends,
/// and the next start has everything that was acknowledged.
fn the_disk_fails(calls: &str, error: &str) {
    let folder = tempfile::tempdir().unwrap();
    let (port, kept) = plain_receiver(Manner::Good);
    let destination = format!("  out:\n    mllp: {{host: 127.0.0.1, port: {port}}}\n");
    let mut engine = Engine::new(folder.path(), &destination);
    engine.start("");
    engine.ready().expect("the engine starts");
    let mut link = Link::open(engine.port);
    for number in 0..20 {
        assert_eq!(link.send(&update(&format!("GOOD{number}"), "P1")).0, "AA");
    }
    let Some(tracer) = Tracer::attach(engine.pid(), calls, error) else {
        println!("SKIPPED: strace is not there, or processes may not be traced here");
        return;
    };
    let answer = link.exchange(update("LOST", "P1").as_bytes());
    let answer = answer.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    let code = answer.as_deref().map(|text| crate::peers::field(text, "MSA", 1));
    assert!(
        code.as_deref().is_none_or(|code| ["AE", "AR"].contains(&code)),
        "never acknowledged: {code:?}"
    );
    until("the engine ends by itself", || engine.ended());
    let log = engine.log();
    assert!(log.contains("the disk failed under the store"), "it says why:\n{log}");
    assert_eq!(engine.exit_code(), Some(70), "{log}");
    drop(tracer);

    engine.start("");
    engine.ready().expect("the engine starts again");
    assert_eq!(Link::open(engine.port).send(&update("AFTER", "P1")).0, "AA");
    until("everything acknowledged is delivered", || {
        let kept = kept.lock().unwrap();
        let has = |id: &str| {
            let id = format!("|{id}|");
            kept.iter().any(|frame| String::from_utf8_lossy(frame).contains(&id))
        };
        has("AFTER") && (0..20).all(|number| has(&format!("GOOD{number}")))
    });
    engine.kill();
    let (sound, text) = engine.command(&["doctor"]);
    assert!(sound, "doctor finds the store unsound:\n{text}");
}

#[test]
fn a_failed_sync_is_fatal_and_recovered_from_after_a_restart() {
    the_disk_fails("fsync,fdatasync", "EIO");
}

#[test]
fn a_failed_write_is_fatal_and_recovered_from_after_a_restart() {
    the_disk_fails("pwrite64", "EIO");
}

/// A file system in a file, unmounted when dropped.
struct Disk {
    folder: tempfile::TempDir,
}

impl Disk {
    /// `None` where this machine lets nobody mount one.
    fn make() -> Option<Self> {
        let disk = Self { folder: tempfile::tempdir().unwrap() };
        std::fs::create_dir(disk.place()).unwrap();
        let image = std::fs::File::create(disk.image()).unwrap();
        image.set_len(192 << 20).unwrap();
        let made = Command::new("mkfs.ext4").arg("-q").arg(disk.image()).status();
        (made.is_ok_and(|status| status.success()) && disk.mount()).then_some(disk)
    }

    fn image(&self) -> std::path::PathBuf {
        self.folder.path().join("disk.img")
    }

    fn place(&self) -> std::path::PathBuf {
        self.folder.path().join("disk")
    }

    fn mount(&self) -> bool {
        let mount =
            Command::new("mount").args(["-o", "loop"]).arg(self.image()).arg(self.place()).status();
        mount.is_ok_and(|status| status.success())
    }

    fn unmount(&self) -> bool {
        let unmount = Command::new("umount").arg(self.place()).stderr(Stdio::null()).status();
        unmount.is_ok_and(|status| status.success())
    }

    /// From now on nothing reaches the disk, not even what the file system had in its log: what was not
    /// synced is lost, as when the power goes.
    fn cut_power(&self) -> bool {
        // EXT4_IOC_SHUTDOWN with EXT4_GOING_FLAGS_NOLOGFLUSH.
        let script = "import fcntl, os, struct, sys\n\
                      fcntl.ioctl(os.open(sys.argv[1], os.O_RDONLY), 0x8004587D, struct.pack('I', 2))\n";
        let cut = Command::new("python3").args(["-c", script]).arg(self.place()).status();
        cut.is_ok_and(|status| status.success())
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if !self.unmount() {
            Command::new("umount").arg("-l").arg(self.place()).stderr(Stdio::null()).status().ok();
        }
    }
}

#[test]
fn a_power_cut_loses_nothing_that_was_acknowledged() {
    let Some(disk) = Disk::make() else {
        println!("SKIPPED: a loop device cannot be mounted here (it needs root and mkfs.ext4)");
        return;
    };
    let journal = Arc::new(Journal::default());
    let stop = Arc::new(AtomicBool::new(false));
    let port = receiver("out", Arc::clone(&journal), 0);
    let retry = "    retry: {first: 20ms, factor: 2, max: 200ms, for: 1h, then: hold}\n";
    let destination =
        format!("  out:\n    mllp: {{host: 127.0.0.1, port: {port}, connections: 4}}\n{retry}");
    let folder = disk.place().join("engine");
    let mut engine = Engine::new(&folder, &destination);
    sync(&folder);
    engine.start("");
    engine.ready().expect("the engine starts");
    let senders: Vec<_> = (0..4)
        .map(|name| sender(name, engine.port, Arc::clone(&journal), Arc::clone(&stop)))
        .collect();
    for round in 1..=3 {
        let before = journal.answered.lock().unwrap().len();
        until("there is traffic", || journal.answered.lock().unwrap().len() >= before + 200);
        journal.goes_down();
        // The whole machine stops at one moment: the process first, so that it answers nothing that the
        // kernel says of a disk on its way out.
        engine.freeze();
        if !disk.cut_power() {
            stop.store(true, Ordering::Relaxed);
            senders.into_iter().for_each(|sender| sender.join().unwrap());
            println!("SKIPPED: this kernel does not shut down a file system by ioctl");
            return;
        }
        engine.kill();
        assert!(disk.unmount() && disk.mount(), "the disk is there again after cut {round}");
        journal.comes_up();
        engine.start("");
        engine.ready().expect("the engine starts after the cut");
    }
    stop.store(true, Ordering::Relaxed);
    senders.into_iter().for_each(|sender| sender.join().unwrap());
    let deadline = Instant::now() + Duration::from_secs(60);
    while journal.missing("out") > 0 && Instant::now() < deadline {
        std::thread::park_timeout(Duration::from_millis(20));
    }
    let broken = journal.broken_promises(&["out"]);
    assert!(broken.is_empty(), "broken promises:\n{}\n{}", broken.join("\n"), engine.log());
    engine.kill();
    let (sound, text) = engine.command(&["doctor"]);
    assert!(sound, "doctor finds the store unsound:\n{text}");
}

/// The configuration is on the disk before the power goes for the first time.
fn sync(folder: &Path) {
    let synced = Command::new("sync").arg("-f").arg(folder).status();
    assert!(synced.is_ok_and(|status| status.success()), "the disk can be synced");
}
