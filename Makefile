# Letterplate: what is built from what.
#
#   make                       programs in build/bin (objects in build/obj/VARIANT)
#   make CC=clang              the same with another compiler
#   make SANITIZE=address,undefined
#   make CFI=yes               with clang's control flow integrity: each call by a pointer is of the type that the function has
#   make COVERAGE=yes          with counters, for gcov; VALGRIND=yes: what would be set to zero is left alone.  See mk/inspect.mk
#   make run | check | lint | install    see mk/*.mk and README.md
#
# A new .c file needs no line here: a folder is a library, tests/unit/*.c are
# programs of their own.

CFI ?=
ifeq ($(origin CC),default)
CC := $(if $(CFI),clang,gcc)
endif
PREFIX ?= /usr/local
SANITIZE ?=
COVERAGE ?=
VALGRIND ?=
WERROR ?= -Werror

comma := ,
VARIANT := $(notdir $(CC))$(if $(SANITIZE),-$(subst $(comma),-,$(SANITIZE)))$(if $(CFI),-cfi)$(if $(COVERAGE),-coverage)$(if $(VALGRIND),-valgrind)
OBJ := build/obj/$(VARIANT)
BIN := build/bin

PROGRAMS := letterplate letterplate-worker letterplate-keys letterplate-auth letterplate-credentials letterplate-reports letterplate-mailboxes letterplate-stats letterplate-log letterplate-trace
all: $(PROGRAMS:%=$(BIN)/%)

include mk/flags.mk

LIBS_letterplate := -lconfuse -lcrypto -lidn2 -lunistring -lbsd
LIBS_letterplate-worker := -lcares -lconfuse -lssl -lcrypto -llmdb -lseccomp -lidn2 -lunistring -lbsd -pthread
# C modules find what handler.h offers in the program that loads them.
LDFLAGS_letterplate-worker := -Wl,--dynamic-list=mk/handler.list
LIBS_letterplate-keys := -lconfuse -lcrypto -lseccomp -lidn2 -lunistring -lbsd -pthread
LIBS_letterplate-auth := -lconfuse -lcrypto -lseccomp -lidn2 -lunistring -lbsd -pthread
LIBS_letterplate-credentials := -lcrypto -lunistring -lbsd
LIBS_letterplate-reports := -lconfuse -lssl -lcrypto -llmdb -lseccomp -lidn2 -lunistring -lbsd -pthread
LIBS_letterplate-mailboxes := -llmdb -lidn2 -lunistring -ljansson -lbsd
LIBS_letterplate-stats := -ljansson -lmicrohttpd -lseccomp -lbsd
LIBS_letterplate-log := -ljansson -lz
LIBS_letterplate-trace := -ljansson -lconfuse -lcrypto -lidn2 -lunistring -lbsd
LIBS_all := -lcares -lconfuse -lssl -lcrypto -llmdb -lseccomp -lidn2 -lunistring -ljansson -lmicrohttpd -lz -lbsd -pthread

SRC_common := $(wildcard common/*.c)
SRC_worker := $(filter-out worker/main.c,$(wildcard worker/*.c worker/*/*.c worker/*/*/*.c))
SRC_master := $(filter-out master/main.c,$(wildcard master/*.c))
SRC_keys := $(filter-out keys/main.c,$(wildcard keys/*.c))
SRC_auth := $(filter-out auth/main.c,$(wildcard auth/*.c))
SRC_credentials := $(filter-out tools/credentials/main.c,$(wildcard tools/credentials/*.c))
SRC_reports := $(filter-out reports/main.c,$(wildcard reports/*.c))
SRC_mailboxes := $(filter-out tools/mailboxes/main.c,$(wildcard tools/mailboxes/*.c))
SRC_stats := $(filter-out tools/stats/main.c,$(wildcard tools/stats/*.c))
SRC_logtool := $(filter-out tools/log/main.c,$(wildcard tools/log/*.c))
SRC_tracetool := $(filter-out tools/trace/main.c,$(wildcard tools/trace/*.c))
SRC_mains := master/main.c worker/main.c keys/main.c auth/main.c tools/credentials/main.c reports/main.c tools/mailboxes/main.c tools/stats/main.c tools/log/main.c tools/trace/main.c
SRC_unit := $(wildcard tests/unit/*.c)
SRC_product := $(SRC_common) $(SRC_worker) $(SRC_master) $(SRC_keys) $(SRC_auth) $(SRC_credentials) $(SRC_reports) $(SRC_mailboxes) $(SRC_stats) $(SRC_logtool) $(SRC_tracetool) $(wildcard $(SRC_mains))

LIBRARIES := worker master keys auth credentials reports mailboxes stats logtool tracetool common
define library
$(OBJ)/lib$(1).a: $(SRC_$(1):%.c=$(OBJ)/%.o)
	@rm -f $$@
	$$(Q)$$(AR) rcs $$@ $$^
endef
$(foreach l,$(LIBRARIES),$(eval $(call library,$(l))))

# build/bin belongs to the variant that was built last; the stamp makes the others link again.
$(shell mkdir -p $(BIN) $(OBJ); [ "$$(cat build/variant 2>/dev/null)" = "$(VARIANT)" ] || echo "$(VARIANT)" > build/variant)

# The installed place of letterplate-worker is found beside letterplate, so it needs no path compiled in.
define program
$(BIN)/$(1): $(OBJ)/$(2).o $(3:%=$(OBJ)/lib%.a) build/variant
	@echo "  LINK  $$@"
	$$(Q)$$(CC) $$(LDFLAGS_ALL) $$(LDFLAGS_$(1)) -o $$@ $(OBJ)/$(2).o $(3:%=$(OBJ)/lib%.a) $$(LIBS_$(1)) $$(LDLIBS)
endef
$(eval $(call program,letterplate,master/main,master common))
$(eval $(call program,letterplate-worker,worker/main,worker common))
# The key process has a worker's sandbox.
$(eval $(call program,letterplate-keys,keys/main,keys worker common))
$(eval $(call program,letterplate-auth,auth/main,auth worker common))
$(eval $(call program,letterplate-credentials,tools/credentials/main,credentials common))
# letterplate-reports too, and its store.
$(eval $(call program,letterplate-reports,reports/main,reports worker common))
$(eval $(call program,letterplate-mailboxes,tools/mailboxes/main,mailboxes common))
$(eval $(call program,letterplate-stats,tools/stats/main,stats common))
$(eval $(call program,letterplate-log,tools/log/main,logtool common))
$(eval $(call program,letterplate-trace,tools/trace/main,tracetool common))

$(OBJ)/%.o: %.c $(OBJ)/flags.mk
	@mkdir -p $(@D)
	@echo "  CC    $<"
	$(Q)$(CC) $(CPPFLAGS_ALL) $(CFLAGS_ALL) -MMD -MP -c -o $@ $<

# It takes files in by the assembler, which tells nobody.
$(OBJ)/tools/stats/assets.o: $(wildcard tools/stats/page/*)

UNIT := $(SRC_unit:%.c=$(OBJ)/%)
$(OBJ)/tests/unit/%: $(OBJ)/tests/unit/%.o $(LIBRARIES:%=$(OBJ)/lib%.a)
	@echo "  LINK  $@"
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $< -Wl,--start-group $(LIBRARIES:%=$(OBJ)/lib%.a) -Wl,--end-group \
	    $(LIBS_all) -lcheck -lsubunit -lrt -lm $(LDLIBS)
unit-programs: $(UNIT)

-include $(SRC_product:%.c=$(OBJ)/%.d) $(SRC_unit:%.c=$(OBJ)/%.d)
-include $(filter-out mk/flags.mk,$(wildcard mk/*.mk))

clean:
	rm -rf build

.PHONY: all clean unit-programs
.SECONDARY:
