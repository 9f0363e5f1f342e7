// Subscribers that check each call with the reference `standardwebhooks` library and misbehave at times. Arguments,
// paths and what is printed: see hook.py.
import http from "node:http";
import { Webhook } from "standardwebhooks";

const webhook = new Webhook(process.argv[2]);
let seed = Number(process.argv[3]);
const random = () => (seed = (seed * 1103515245 + 12345) % 2147483648) / 2147483648;
const moods = ["dies", "hangs", "500", "503", "302", "endless", "slow", ...Array(30).fill("ok")];
const taken = new Set();

function moodOf(path, kind, number) {
  if (kind !== "event-notification") return path === "/slow" ? "slow" : "ok";
  if (path === "/gone") {
    if (taken.size >= 5 && !taken.has(number)) return "410";
    taken.add(number);
    return "ok";
  }
  return path === "/mixed" ? moods[Math.floor(random() * moods.length)] : "ok";
}

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
    const number = Number(said["events-since-subscription-start"].valueString);
    const mood = moodOf(request.url, kind, number);
    console.log(JSON.stringify({
      path: request.url,
      kind,
      number,
      signed,
      mood,
      id: request.headers["webhook-id"],
      patient: bundle.entry[1]?.resource.subject.reference,
      value: bundle.entry[1]?.resource.valueInteger,
    }));
    if (mood === "dies") return request.socket.destroy();
    if (mood === "hangs") return setTimeout(() => request.socket.destroy(), 5000);
    if (mood === "endless") {
      response.writeHead(200, { "content-length": 5 * 2 ** 30 });
      const part = Buffer.alloc(1 << 16, "x");
      const more = () => {
        while (!response.destroyed && response.write(part));
        if (!response.destroyed) response.once("drain", more);
      };
      return more();
    }
    const answer = () => {
      const status = { 500: 500, 503: 503, 302: 302, 410: 410 }[mood] ?? 200;
      response.writeHead(status, { "content-length": 0, ...(mood === "302" && { location: "http://127.0.0.1:1/" }) });
      response.end();
    };
    mood === "slow" ? setTimeout(answer, 300) : answer();
  });
});
server.on("clientError", (_, socket) => socket.destroy());
server.listen(Number(process.argv[4]), "127.0.0.1", () => console.log("port", server.address().port));
