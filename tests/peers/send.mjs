// Sends the files named on the command line with node-hl7-client; prints MSA-1 and MSA-2 of each answer.
import fs from 'node:fs'
import { createRequire } from 'node:module'

const require = createRequire(process.env.PEERS + '/')
const { Client, Message } = require('node-hl7-client')

const [port, ...files] = process.argv.slice(2)
const client = new Client({ host: '127.0.0.1' })
let answered = 0
const connection = client.createConnection({ port: Number(port) }, async (response) => {
  const answer = response.getMessage()
  console.log(answer.get('MSA.1').toString(), answer.get('MSA.2').toString())
  answered += 1
  if (answered === files.length) {
    await connection.close()
    process.exit(0)
  }
  await send()
})
async function send () {
  await connection.sendMessage(new Message({ text: fs.readFileSync(files[answered], 'utf8').trimEnd() }))
}
setTimeout(() => { console.error('no answer in time'); process.exit(1) }, 30000)
await send()
