//! E04..: files that do not fit together, and settings that contradict each other.

use crate::yaml::codes::Explanation;

pub(super) const CODES: &[Explanation] = &[
    Explanation {
        code: "E0401",
        title: "a file or directory cannot be read",
        text: "It is not there, or the engine's user may not read it. Paths on the command line are \
               relative to where the command runs, paths in engine.yaml to that file.",
        wrong: "channels: chanels",
        right: "channels: channels",
    },
    Explanation {
        code: "E0402",
        title: "there are no channel files",
        text: "Channel files end in .yaml and stand directly in the channels directory. Without one the \
               engine starts and receives nothing.",
        wrong: "channels: channels/lab   # all files stand in channels/",
        right: "channels: channels",
    },
    Explanation {
        code: "E0403",
        title: "there are too many channel files",
        text: "One engine takes at most 10,000 channels.",
        wrong: "channels: /   # ten thousand and one files",
        right: "channels: channels",
    },
    Explanation {
        code: "E0404",
        title: "two channels have the same name",
        text: "Messages, lanes and counts are kept under the channel's name, so each name is there once.",
        wrong: "channel: adt   # in a.yaml and in b.yaml",
        right: "channel: adt-ward   # in b.yaml",
    },
    Explanation {
        code: "E0405",
        title: "a channel is not called as its file",
        text: "People look for a channel by its name. Call the file so, or the channel.",
        wrong: "channel: adt-patient-sync   # in test.yaml",
        right: "channel: adt-patient-sync   # in adt-patient-sync.yaml",
    },
    Explanation {
        code: "E0406",
        title: "a port is taken twice",
        text: "Two channels, or a channel and the admin API, would listen on the same address and port. \
               0.0.0.0 takes the port on every address.",
        wrong: "from: {mllp: {listen: 0.0.0.0:8080}}   # the admin API's port",
        right: "from: {mllp: {listen: 0.0.0.0:6661}}",
    },
    Explanation {
        code: "E0407",
        title: "nobody publishes this topic",
        text: "A channel listens to a kind of message (patient, report, device, order, …), to a type \
               (ADT^A01, ADT^*), or to a topic that a destination publishes.",
        wrong: "from: {topic: patients}",
        right: "from: {topic: patient}",
    },
    Explanation {
        code: "E0408",
        title: "a topic leads in a circle",
        text: "A channel publishes a topic that it hears itself, at once or by way of other channels: each \
               message would come round again and again and fill the disk. A topic that is taken from the \
               message (`<…>`) is not known before; such a circle ends when a message has been published \
               16 times over.",
        wrong: "from: {topic: result}\nto: {again: {channel: result}}",
        right: "from: {topic: result}\nto: {on: {channel: checked-result}}",
    },
    Explanation {
        code: "E0410",
        title: "a secret cannot be found",
        text: "secret/NAME is looked up in the environment (MEDWAY_SECRET_NAME, capitals, _ for -) and \
               then in the secrets directory of engine.yaml (default secrets/NAME). `medway check` warns of it, \
               since files are often checked away from the machine they run on; `medway check --secrets` \
               and the start of the engine make it an error.",
        wrong: "sign: secret/emr-hok",
        right: "sign: secret/emr-hook",
    },
    Explanation {
        code: "E0412",
        title: "a receiver is not on the allow-list",
        text: "`outbound.allow` of engine.yaml says where the engine may send to at all, a webhook's \
               `allow` where this destination may. A message can therefore never be sent elsewhere by a \
               slip in one file.",
        wrong: "mllp: {host: lis.elsewhere.example, port: 2575}",
        right: "mllp: {host: lis.hospital.example, port: 2575}",
    },
    Explanation {
        code: "E0413",
        title: "there is no such TLS profile",
        text: "Profiles stand under `tls` in engine.yaml, each with its files; channels name them.",
        wrong: "tls: hospital-cs",
        right: "tls: hospital-ca",
    },
    Explanation {
        code: "E0414",
        title: "a file of a TLS profile is missing",
        text: "Paths of a profile are relative to engine.yaml.",
        wrong: "hospital-ca: {ca: tls/ca.pen}",
        right: "hospital-ca: {ca: tls/ca.pem}",
    },
    Explanation {
        code: "E0415",
        title: "a TLS profile cannot be used",
        text: "The files are there, but something in them, or between them, is wrong: a key that does not \
               belong to the certificate, an encrypted key, a listener without a certificate.",
        wrong: "his-mutual: {ca: tls/his-ca.pem}   # to listen, a certificate is needed",
        right: "his-mutual: {certificate: tls/engine.pem, private_key: tls/engine.key}",
    },
    Explanation {
        code: "E0416",
        title: "the admin API would be open",
        text: "Beyond a loopback address the API needs a token: it shows messages and replays them.",
        wrong: "admin: {listen: 0.0.0.0:8080}",
        right: "admin: {listen: 0.0.0.0:8080, token: secret/admin}",
    },
    Explanation {
        code: "E0417",
        title: "`ack` where nothing is acknowledged so",
        text: "`ack` says how MLLP senders are answered. HTTP senders get 2xx, and files move, once the \
               message is stored; there is nothing to choose.",
        wrong: "from: {file: {directory: in}, ack: after_stored}",
        right: "from: {file: {directory: in}}",
    },
    Explanation {
        code: "E0418",
        title: "senders are named by certificates that nobody asks for",
        text: "`senders` says which certificate may send as whom. Without TLS there are no certificates.",
        wrong: "mllp: {listen: 0.0.0.0:6661, senders: [{certificate: his}]}",
        right: "mllp: {listen: 0.0.0.0:6661, tls: his-mutual, senders: [{certificate: his}]}",
    },
    Explanation {
        code: "E0419",
        title: "an answer code that nobody answers",
        text: "`on_ack` names acknowledgement codes (AA AE AR CA CE CR), words for what else may happen \
               (no_answer, wrong_id, garbage, refused, reset, other, …), HTTP statuses (404) and classes \
               of them (4xx).",
        wrong: "on_ack: {AEE: hold_lane}",
        right: "on_ack: {AE: hold_lane}",
    },
    Explanation {
        code: "E0420",
        title: "two settings contradict each other",
        text: "Each is right by itself, but not together; the message says which two.",
        wrong: "retry: {first: 10m, max: 5m}",
        right: "retry: {first: 10s, max: 5m}",
    },
    Explanation {
        code: "E0421",
        title: "a header cannot be set",
        text: "Headers that belong to the transport or to the signature are set by the engine; names are \
               made of letters, digits and -.",
        wrong: "headers: {Content-Length: 10}",
        right: "headers: {X-Ward: lab}",
    },
    Explanation {
        code: "E0422",
        title: "the sections stand in another order",
        text: "Files read alike when their sections always come in the same order: channel, title, owner, \
               description, order_by, from, accept, search_keys, unmapped_code, to, tests.",
        wrong: "to: {lis: {mllp: {host: lis, port: 2575}}}\nfrom: {mllp: {listen: 0.0.0.0:6661}}",
        right: "from: {mllp: {listen: 0.0.0.0:6661}}\nto: {lis: {mllp: {host: lis, port: 2575}}}",
    },
    Explanation {
        code: "E0424",
        title: "resources for a channel that serves none",
        text: "`resources` writes into the engine's own FHIR store, where a channel with `from: {fhir: …}` \
               serves them: `channel` names it.",
        wrong: "resources: {channel: fhir-gatewy}",
        right: "resources: {channel: fhir-gateway}",
    },
    Explanation {
        code: "E0425",
        title: "repeats are forgotten before `within` ends",
        text: "A repeat is recognised by the message that it repeats. Once `retention.messages`, of the channel \
               or of engine.yaml, has taken that away, the repeat is a new message.",
        wrong: "accept: {duplicate: {within: 30d}}\nretention: {messages: 7d}",
        right: "accept: {duplicate: {within: 7d}}\nretention: {messages: 7d}",
    },
    Explanation {
        code: "E0441",
        title: "no resource type of FHIR R4",
        text: "`types` names resource types as FHIR R4 writes them: Patient, ServiceRequest, ….",
        wrong: "types: [Pateint]",
        right: "types: [Patient]",
    },
    Explanation {
        code: "E0442",
        title: "an endpoint that nobody could use",
        text: "`access` names at least one way to be known: jwt, tokens, basic or certificates. Where nobody \
               is to be asked, that is said in so many words.",
        wrong: "access: {}",
        right: "access: none",
    },
    Explanation {
        code: "E0443",
        title: "a scope that grants nothing",
        text: "Scopes are SMART scopes for systems: system/TYPE.LETTERS with the letters c r u d s in this \
               order (v2), or system/TYPE.read, .write, .* (v1). TYPE is a resource type or *.",
        wrong: "scopes: patient/Patient.rs",
        right: "scopes: system/Patient.rs",
    },
];
