# Inspection without running: `make lint` is at zero findings, or it fails.
#
#   make lint             all of it; what was clean and has not changed is not looked at again
#   make lint-format      clang-format, with .clang-format for .c and mk/headers.clang-format for .h
#   make lint-tidy        clang-tidy, see .clang-tidy for what and why
#   make lint-cppcheck    cppcheck, see mk/cppcheck.suppress
#   make lint-analyzer    gcc -fanalyzer
#   make lint-scripts     shellcheck, pyflakes, mandoc: tests/house/scripts.sh, which `make check` runs too
#   make format           writes what lint-format wants
#   make house            tests/house/*.sh (layers, purity, sizes...), which `make check` runs too
#
# `tools/install-deps lint` brings the tools.

LINT := build/lint
FORMAT_C := $(shell find common worker master keys auth reports tools tests examples -name '*.c' 2>/dev/null)
FORMAT_H := $(shell find common worker master keys auth reports tools tests examples -name '*.h' 2>/dev/null)

lint: lint-format lint-tidy lint-cppcheck lint-analyzer lint-scripts

lint-format:
	@echo "  LINT  clang-format"
	$(Q)clang-format --dry-run -Werror $(FORMAT_C)
	$(Q)clang-format --dry-run -Werror --style=file:mk/headers.clang-format $(FORMAT_H)
format:
	$(Q)clang-format -i $(FORMAT_C)
	$(Q)clang-format -i --style=file:mk/headers.clang-format $(FORMAT_H)

# The stamps hang on the object, which hangs on the headers.
$(LINT)/%.tidy: %.c $(OBJ)/%.o .clang-tidy
	@mkdir -p $(@D)
	@echo "  TIDY  $<"
	$(Q)clang-tidy --quiet $< -- -std=gnu17 -I. -D_GNU_SOURCE >$@.out 2>$@.err || { cat $@.out $@.err; exit 1; }
	@rm -f $@.out $@.err; touch $@
lint-tidy: $(SRC_product:%.c=$(LINT)/%.tidy)

lint-cppcheck:
	@echo "  LINT  cppcheck"
	$(Q)cppcheck --quiet -j2 --error-exitcode=1 --enable=warning,performance,portability --inline-suppr --std=c11 \
	    --library=posix,gnu,bsd --include=/usr/include/bsd/sys/queue.h -I. -D_GNU_SOURCE -D__x86_64__ \
	    --suppress=missingIncludeSystem --suppressions-list=mk/cppcheck.suppress \
	    $(sort $(dir $(SRC_product)))

# gcc 12's analyzer loses what is stored in an element of an array (malloc-leak; LeakSanitizer knows better) and does
# not see that a result of -1 goes with a pointer of NULL (possible-null-*; clang's does).
ANALYZER := -fanalyzer -Wno-analyzer-malloc-leak -Wno-analyzer-possible-null-argument -Wno-analyzer-possible-null-dereference
$(LINT)/%.analyzed: %.c $(OBJ)/%.o mk/lint.mk
	@mkdir -p $(@D)
	@echo "  GCCA  $<"
	$(Q)gcc -std=gnu17 -I. -D_GNU_SOURCE -O2 -Werror $(ANALYZER) -c -o /dev/null $<
	@touch $@
lint-analyzer: $(SRC_product:%.c=$(LINT)/%.analyzed)

lint-scripts:
	@echo "  LINT  shellcheck, pyflakes, mandoc"
	$(Q)tests/house/scripts.sh

house: all
	@rc=0; for t in tests/house/*.sh; do $$t || rc=1; done; exit $$rc

.PHONY: lint lint-format lint-tidy lint-cppcheck lint-analyzer lint-scripts format house
