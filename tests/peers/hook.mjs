// A subscriber that checks each call with the reference `standardwebhooks` library and misbehaves at times.
// Prints `port N`, then a line of JSON for each call: event number, patient, whether the signature holds, answer.
import http from "node:http";
import { Webhook } from "standardwebhooks";

const webhook = new Webhook(process.argv[2]);
let seed = Number(process.argv[3]);
const random = () => (seed = (seed * 1103515245 + 12345) % 2147483648) / 2147483648;
const moods = ["dies", "500", "503", "slow", ...Array(12).fill("ok")];

const server = http.createServer((request, response) => {
  const parts = [];
  request.on("data", (part) => parts.push(part));
  request.on("end", () => {
    const body = Buffer.concat(parts).toString();
    let signed = true;
    try {
      webhook.verify(body, request.headers);
    } catch {
      signed = false;
    }
    const bundle = JSON.parse(body);
    const said = Object.fromEntries(bundle.entry[0].resource.parameter.map((one) => [one.name, one]));
    const kind = said.type.valueCode;
    const mood = kind === "event-notification" ? moods[Math.floor(random() * moods.length)] : "ok";
    console.log(JSON.stringify({
      kind,
      number: Number(said["events-since-subscription-start"].valueString),
      signed,
      mood,
      id: request.headers["webhook-id"],
      patient: bundle.entry[1]?.resource.subject.reference,
    }));
    if (mood === "dies") return request.socket.destroy();
    const answer = () => {
      response.writeHead({ 500: 500, 503: 503 }[mood] ?? 200, { "content-length": 0 });
      response.end();
    };
    mood === "slow" ? setTimeout(answer, 50) : answer();
  });
});
server.listen(0, "127.0.0.1", () => console.log("port", server.address().port));
