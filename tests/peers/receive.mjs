// Listens with node-hl7-server, answers with the library's own ACK, prints each control id.
import { createRequire } from 'node:module'

const require = createRequire(process.env.PEERS + '/')
const { Server } = require('node-hl7-server')

const port = Number(process.argv[2])
const server = new Server({ bindAddress: '127.0.0.1' })
const inbound = server.createInbound({ port }, async (request, response) => {
  console.log('got', request.getMessage().get('MSH.10').toString())
  await response.sendResponse('AA')
})
inbound.on('listen', () => console.log('port', port))
