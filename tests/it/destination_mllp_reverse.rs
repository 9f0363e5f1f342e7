//! The MLLP sender whose receiver connects to it, and receivers that answer with one byte or not at all.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use medway::destination::mllp::MllpDestination;
use medway::destination::mllp::door::{Door, Doors};
use medway::destination::mllp::options::{AnswerForm, Listening, MllpDestinationOptions};
use medway::destination::{Destination, DestinationName};
use medway::message::outcome::Outcome;
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::receiver::{PATIENCE, Peer, Receiver, message, outbound};

const ANYWHERE: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

struct Sender {
    destination: MllpDestination,
    tracker: TaskTracker,
    stop: CancellationToken,
}

impl Sender {
    fn at(door: Arc<Door>, options: MllpDestinationOptions) -> Self {
        let (tracker, stop) = (TaskTracker::new(), CancellationToken::new());
        let name = DestinationName::new("adt", "lis");
        let destination =
            MllpDestination::listening(&name, options, door, None, tracker.clone(), stop.clone());
        Self { destination, tracker, stop }
    }

    fn to(receiver: &Receiver, answer: AnswerForm) -> Self {
        let (tracker, stop) = (TaskTracker::new(), CancellationToken::new());
        let options = MllpDestinationOptions {
            endpoints: vec![receiver.address()],
            answer,
            ..MllpDestinationOptions::default()
        };
        let name = DestinationName::new("adt", "lis");
        let destination = MllpDestination::new(&name, options, None, tracker.clone(), stop.clone());
        Self { destination, tracker, stop }
    }

    async fn send(&self, id: &str) -> Outcome {
        let outbound = outbound(id);
        let sending = self.destination.send(&outbound, &self.stop);
        tokio::time::timeout(PATIENCE, sending).await.expect("an attempt ends")
    }

    async fn end(self) {
        self.stop.cancel();
        self.tracker.close();
        tokio::time::timeout(PATIENCE, self.tracker.wait()).await.expect("its tasks end");
    }
}

fn door() -> Arc<Door> {
    Doors::default().open(ANYWHERE).unwrap()
}

fn listening(allow: &[&str]) -> MllpDestinationOptions {
    MllpDestinationOptions {
        listen: Some(Listening {
            address: ANYWHERE,
            allow: allow.iter().map(|network| network.parse().unwrap()).collect(),
        }),
        connect_within: Duration::from_secs(5),
        ..MllpDestinationOptions::default()
    }
}

async fn connect(door: &Door) -> Peer<TcpStream> {
    Peer::new(TcpStream::connect(door.local_addr()).await.unwrap())
}

#[track_caller]
fn check(outcome: &Outcome, name: &str, code: &str) {
    assert_eq!((outcome.name(), &*outcome.answer().code), (name, code), "{outcome:?}");
}

#[tokio::test]
async fn a_receiver_that_connects_is_sent_to_on_its_connection() {
    let door = door();
    let sender = Sender::at(Arc::clone(&door), listening(&[]));
    // It may come before there is anything to send, or after.
    let mut peer = connect(&door).await;
    for (id, code, name) in [("M1", "AA", "accepted"), ("M2", "AE", "rejected")] {
        let receive = async {
            assert_eq!(peer.frame().await, message(id));
            peer.ack(code, id).await;
        };
        let (outcome, ()) = tokio::join!(sender.send(id), receive);
        check(&outcome, name, code);
    }
    drop(peer);
    let receive = async {
        let mut peer = connect(&door).await;
        assert_eq!(peer.frame().await, message("M3"));
        peer.ack("AA", "M3").await;
        peer
    };
    let (outcome, peer) = tokio::join!(sender.send("M3"), receive);
    check(&outcome, "accepted", "AA");
    drop(peer);
    sender.end().await;
}

#[tokio::test]
async fn of_several_connections_the_newest_is_used() {
    let door = door();
    let sender = Sender::at(Arc::clone(&door), listening(&[]));
    let mut half_open = connect(&door).await;
    let mut newest = connect(&door).await;
    // The first is given up as soon as the second is there.
    half_open.closed().await;
    let receive = async {
        newest.frame().await;
        newest.ack("AA", "M1").await;
    };
    let (outcome, ()) = tokio::join!(sender.send("M1"), receive);
    check(&outcome, "accepted", "AA");
    sender.end().await;
}

#[tokio::test]
async fn without_a_receiver_the_message_surely_was_not_sent() {
    let door = door();
    let options =
        MllpDestinationOptions { connect_within: Duration::from_millis(50), ..listening(&[]) };
    let sender = Sender::at(Arc::clone(&door), options);
    check(&sender.send("M1").await, "failed", "unreachable");
    // One that came and went is none.
    let peer = connect(&door).await;
    drop(peer);
    check(&sender.send("M1").await, "failed", "unreachable");
    let views = sender.destination.endpoints();
    assert!(views[0].last_error.as_ref().unwrap().contains("no receiver connected"), "{views:?}");
    sender.end().await;
}

#[tokio::test]
async fn only_listed_networks_are_sent_to() {
    let door = door();
    let options = MllpDestinationOptions {
        connect_within: Duration::from_millis(200),
        ..listening(&["192.0.2.0/24"])
    };
    let sender = Sender::at(Arc::clone(&door), options);
    let mut peer = connect(&door).await;
    peer.closed().await;
    let said = sender.destination.endpoints()[0].last_error.clone().unwrap();
    assert!(said.contains("127.0.0.1 refused: network"), "{said}");
    check(&sender.send("M1").await, "failed", "unreachable");
    sender.end().await;
}

#[tokio::test]
async fn the_port_passes_to_the_next_destination_and_is_free_after_the_last() {
    let doors = Doors::default();
    let free = std::net::TcpListener::bind(ANYWHERE).unwrap().local_addr().unwrap();
    let old = Sender::at(doors.open(free).unwrap(), listening(&[]));
    let new = Sender::at(doors.open(free).unwrap(), listening(&[]));
    old.end().await;
    let receive = async {
        let mut peer = Peer::new(TcpStream::connect(free).await.unwrap());
        peer.frame().await;
        peer.ack("AA", "M1").await;
    };
    let (outcome, ()) = tokio::join!(new.send("M1"), receive);
    check(&outcome, "accepted", "AA");
    new.end().await;
    assert!(TcpStream::connect(free).await.is_err(), "nobody listens any more");
}

#[tokio::test]
async fn one_byte_answers_count_as_commit_acknowledgements() {
    let receiver = Receiver::bind().await;
    let sender = Sender::to(&receiver, AnswerForm::Byte);
    let answers: [(&[u8], &str, &str); 4] = [
        (b"\x0B\x06\x1C\x0D", "accepted", "CA"),
        (b"\x0B\x15\x1C\x0D", "failed", "CE"),
        (b"\x06", "accepted", "CA"),
        (b"\x15", "failed", "CE"),
    ];
    let receive = async {
        let mut peer = receiver.accept().await;
        for (answer, ..) in answers {
            peer.frame().await;
            peer.say(answer).await;
        }
        peer
    };
    let send = async {
        for (number, (_, name, code)) in answers.into_iter().enumerate() {
            check(&sender.send(&format!("M{number}")).await, name, code);
        }
    };
    let (_peer, ()) = tokio::join!(receive, send);
    sender.end().await;
}

#[tokio::test]
async fn who_answers_nothing_is_not_waited_for() {
    let receiver = Receiver::bind().await;
    let sender = Sender::to(&receiver, AnswerForm::Nothing);
    let receive = async {
        let mut peer = receiver.accept().await;
        assert_eq!(peer.frame().await, message("M1"));
        // What it says all the same concerns nobody, and the connection goes on.
        peer.ack("AE", "M1").await;
        assert_eq!(peer.frame().await, message("M2"));
        peer
    };
    let send = async {
        check(&sender.send("M1").await, "accepted", "written");
        check(&sender.send("M2").await, "accepted", "written");
    };
    let (_peer, ()) = tokio::join!(receive, send);
    sender.end().await;
}
