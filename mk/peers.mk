# Real software that nobody here wrote, against a live server: programs of tests/peers, each of which says what it skips.
#
#   make check-peers      `tools/install-deps peers` brings the software
#
# nodemailer comes from npm's registry, into build/peers, if there is a way to it.
build/peers/node_modules/nodemailer:
	@mkdir -p build/peers
	-@npm install --silent --no-audit --no-fund --prefix build/peers nodemailer

check-peers: check-build build/peers/node_modules/nodemailer
	@tests/run -a tests/peers

.PHONY: check-peers
