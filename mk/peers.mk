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

# Exim's package cannot be installed beside Postfix's: it is unpacked, with the libraries that only it needs.
# Not setuid: the loader would not look into its folder then.
EXIM_PACKAGES := exim4-daemon-heavy exim4-base libmariadb3 libspf2-2
build/peers/exim/usr/sbin/exim4:
	@mkdir -p build/peers/deb
	-@cd build/peers/deb && apt-get download -qq $(EXIM_PACKAGES) && for d in *.deb; do dpkg -x $$d ../exim; done; chmod u-s ../exim/usr/sbin/exim4
check-peers: build/peers/exim/usr/sbin/exim4

# OpenSMTPD's neither.
build/peers/opensmtpd/usr/sbin/smtpd:
	@mkdir -p build/peers/deb
	-@cd build/peers/deb && apt-get download -qq opensmtpd && dpkg -x opensmtpd_*.deb ../opensmtpd
check-peers: build/peers/opensmtpd/usr/sbin/smtpd
