# Which flags the compiler takes is asked of it once a variant; what it refused is said in flags.mk.
Q := $(if $(V),,@)

WARN := -Wall -Wextra -Wconversion -Wshadow -Wswitch-enum -Wstrict-prototypes -Wmissing-prototypes \
    -Wwrite-strings -Wpointer-arith -Wvla -Wformat=2 -Wundef -Wcast-qual $(WERROR)
PROBE := -fstack-protector-strong -fstack-clash-protection -fcf-protection=full -ftrivial-auto-var-init=zero \
    -fzero-call-used-regs=used-gpr -fno-strict-overflow -fno-plt
PROBE_LD := -Wl,-z,relro -Wl,-z,now -Wl,-z,noexecstack -Wl,-z,separate-code -Wl,--as-needed

$(OBJ)/flags.mk: mk/flags.mk
	@mkdir -p $(@D)
	@ok=; no=; for f in $(PROBE); do \
	    if echo 'int main(void){return 0;}' | $(CC) -Werror $$f -x c -c -o /dev/null - 2>/dev/null; \
	    then ok="$$ok $$f"; else no="$$no $$f"; fi; done; \
	echo "HARDEN :=$$ok" > $@; echo "# refused by $(CC):$$no" >> $@
-include $(OBJ)/flags.mk
# clang 14 makes tables of jumps that are wrong with the marks of indirect branch tracking; what they are for is better kept by CFI.
ifneq ($(CFI),)
HARDEN := $(filter-out -fcf-protection=full,$(HARDEN))
AR := llvm-ar
endif

# With less optimization gcc sees less and suspects more: what it says then is not listened to.
CPPFLAGS_ALL := -I. -D_GNU_SOURCE $(if $(SANITIZE)$(COVERAGE)$(VALGRIND),,-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3) $(CPPFLAGS)
CFLAGS_ALL := -std=gnu17 -O2 -g -fPIE -fno-common -fvisibility=hidden $(WARN) $(HARDEN) \
    $(if $(SANITIZE),-fsanitize=$(SANITIZE) -fno-omit-frame-pointer -fno-sanitize-recover=all) \
    $(if $(CFI),-flto -fsanitize=cfi -fsanitize-cfi-cross-dso) \
    $(if $(COVERAGE),-O0 -w --coverage) $(if $(VALGRIND),-O1 -w -ftrivial-auto-var-init=uninitialized) $(CFLAGS)
LDFLAGS_ALL := -pie $(PROBE_LD) $(if $(SANITIZE),-fsanitize=$(SANITIZE)) $(if $(COVERAGE),--coverage) \
    $(if $(CFI),-flto -fuse-ld=lld -fsanitize=cfi -fsanitize-cfi-cross-dso) $(LDFLAGS)
