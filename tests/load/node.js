// node: smtp-server (npm) with a table of mailboxes, each message a file.  node node.js PORT FOLDER plain|fsync [CERTIFICATE KEY].  Not a test.
"use strict";
const fs = require("fs"), path = require("path"), crypto = require("crypto");
const { SMTPServer } = require(path.join(process.cwd(), "build/peers/node_modules/smtp-server"));
const [port, folder, mode, cert, key] = process.argv.slice(2);
const boxes = new Set(Array.from({ length: 1000 }, (_, i) => `u${i}@example.org`));

new SMTPServer({
	name: "mx.test.example",
	authOptional: true,
	...(cert ? { cert: fs.readFileSync(cert), key: fs.readFileSync(key) } : { hideSTARTTLS: true }),
	disableReverseLookup: true,
	maxClients: Infinity,
	onRcptTo(address, session, done) {
		done(boxes.has(address.address) ? null : Object.assign(new Error("No such mailbox"), { responseCode: 550 }));
	},
	onData(stream, session, done) {
		const file = fs.createWriteStream(path.join(folder, crypto.randomUUID()), { flush: mode === "fsync" });
		file.on("close", () => done(null, "stored")).on("error", done);
		stream.pipe(file);
	},
}).listen(Number(port), "127.0.0.1");
