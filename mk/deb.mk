# make deb: Debian packages of what is committed, in build/deb; needs debhelper and dh-apparmor ("tools/install-deps deb").
# DEB_REF=COMMIT DEB_VERSION=N DEB=build/deb-before: those of an earlier commit, from which tests/packages/deb.py upgrades.
#
# contrib/debian is the packaging; its changelog is made here, from the version and the last commit's date.
DEB ?= build/deb
DEB_REF ?= HEAD
DEB_VERSION ?= $(shell sed -n 's/.*VERSION "\(.*\)"/\1/p' common/version.h)

deb:
	rm -rf $(DEB)
	mkdir -p $(DEB)/letterplate-$(DEB_VERSION)
	git archive $(DEB_REF) | tar -x -C $(DEB)/letterplate-$(DEB_VERSION)
	cp -R $(DEB)/letterplate-$(DEB_VERSION)/contrib/debian $(DEB)/letterplate-$(DEB_VERSION)/debian
	mkdir $(DEB)/letterplate-$(DEB_VERSION)/debian/completion
	for p in letterplate letterplate-mailboxes letterplate-stats letterplate-log letterplate-trace letterplate-credentials; do \
	    cp $(DEB)/letterplate-$(DEB_VERSION)/contrib/completion/letterplate $(DEB)/letterplate-$(DEB_VERSION)/debian/completion/$$p || exit 1; done
	printf 'letterplate (%s) unstable; urgency=medium\n\n  * See CHANGES.md.\n\n -- The Letterplate authors <letterplate@lists.example.org>  %s\n' \
	    '$(DEB_VERSION)' "$$(git log -1 --format=%aD)" >$(DEB)/letterplate-$(DEB_VERSION)/debian/changelog
	cd $(DEB)/letterplate-$(DEB_VERSION) && MAKEFLAGS= dpkg-buildpackage -b -j2 -us -uc >../build.log 2>&1 || { tail -30 ../build.log; exit 1; }
	rm -rf $(DEB)/letterplate-$(DEB_VERSION)
	@ls $(DEB)/*.deb

.PHONY: deb
