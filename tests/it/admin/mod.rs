//! What the API says of messages, channels and jobs, asked as the dashboard asks it.

mod again;
mod channels;
mod content;
mod faults;
mod jobs;
mod lanes;
mod live;
mod maintain;
mod oidc;
mod openapi;
mod reloads;
mod resend;
mod system;
mod trial;
mod views;

use std::sync::Arc;

use axum::http::StatusCode;
use bytes::Bytes;
use medway::access::role::Role;
use medway::message::payload::Payload;
use medway::source::intake::{Admit, Received};
use medway::store::Appended;
use serde_json::Value;

use crate::access::{Caller, House};

/// A channel of a group, with a filter and a destination that nobody answers at.
fn adt(name: &str, group: &str) -> String {
    format!(
        "channel: {name}
group: {group}
from:
  http: {{listen: 127.0.0.1:0}}
search_keys:
  mrn: PID-3.1
to:
  lis:
    mllp: {{host: 127.0.0.1, port: 1}}
    when: PV1-2 is I or E and PID-8 is not empty
  his:
    mllp: {{host: 127.0.0.1, port: 1}}
    change:
      - set: {{MSH-5: HIS}}
"
    )
}

pub(crate) fn message(control: &str, mrn: &str, class: &str) -> String {
    format!(
        "MSH|^~\\&|A|B|C|D|20260101||ADT^A01^ADT_A01|{control}|P|2.5.1\rPID|1||{mrn}^^^H^MR||Heron^Ada||19700101|F\rPV1|1|{class}\r"
    )
}

impl House {
    /// Takes a message in, as a source of the channel would; answers its id.
    pub(crate) async fn receive(&self, channel: &str, text: &str) -> String {
        self.receive_all(channel, &[text.to_owned()]).await.remove(0)
    }

    /// Takes several in at once: one commit.
    async fn receive_all(&self, channel: &str, texts: &[String]) -> Vec<String> {
        let admitted = texts.iter().map(|text| {
            let payload = Payload::new(Bytes::from(text.clone()));
            let received =
                Received::new(Arc::from(channel), payload, self.clock.now(), "test".to_owned());
            self.engine.registry().admit(&received).unwrap()
        });
        let new: Vec<_> = admitted.collect();
        let ids = new.iter().map(|new| new.envelope.id.to_string()).collect();
        let appended = self.engine.store().append(new).await.unwrap();
        assert!(appended.iter().all(|one| matches!(one, Appended::New(_))));
        ids
    }

    /// What a successful GET answers.
    async fn get(&self, caller: &Caller, path: &str) -> Value {
        let answer = self.call(caller, "GET", path, &Value::Null).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.body);
        answer.body
    }

    /// The status of a GET.
    async fn asks(&self, caller: &Caller, path: &str) -> StatusCode {
        self.call(caller, "GET", path, &Value::Null).await.status
    }

    /// Who acts on deliveries, and sees messages whole.
    async fn operator(&self) -> Caller {
        self.person("op", &[Role::Operator, Role::Analyst]).await
    }

    async fn analyst(&self) -> Caller {
        self.person("an", &[Role::Analyst]).await
    }
}
