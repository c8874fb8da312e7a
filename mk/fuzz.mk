# Fuzzing: every tests/fuzz/NAME.c is a libFuzzer target, built by clang with ASan and UBSan.
#
#   make fuzz FUZZ_SECONDS=10        each target for that long, two at a time
#   make fuzz FUZZ_TARGETS='smtp'    only these
#   make fuzz-programs               builds build/fuzz/bin/NAME
#
# Seeds stand in tests/fuzz/corpus/NAME, words in tests/fuzz/NAME.dict.  What is found new goes to build/fuzz/corpus/NAME,
# what breaks to build/fuzz/broken/.  Objects stand apart from the build's, so that a run does not make it link anew.

FUZZ := build/fuzz
FUZZ_SECONDS ?= 10
FUZZ_TARGETS ?= $(basename $(notdir $(wildcard tests/fuzz/*.c)))
FUZZ_FLAGS := -std=gnu17 -g -O1 -I. -D_GNU_SOURCE -fno-omit-frame-pointer -fno-sanitize-recover=all \
    -fsanitize=address,undefined

$(FUZZ)/%.o: %.c
	@mkdir -p $(@D)
	@echo "  FUZZ  $<"
	$(Q)clang $(FUZZ_FLAGS) -fsanitize=fuzzer-no-link -MMD -MP -c -o $@ $<

define fuzz_library
$(FUZZ)/lib$(1).a: $(SRC_$(1):%.c=$(FUZZ)/%.o)
	@rm -f $$@
	$$(Q)$$(AR) rcs $$@ $$^
endef
$(foreach l,$(LIBRARIES),$(eval $(call fuzz_library,$(l))))

$(FUZZ)/bin/%: $(FUZZ)/tests/fuzz/%.o $(LIBRARIES:%=$(FUZZ)/lib%.a)
	@mkdir -p $(@D)
	@echo "  LINK  $@"
	$(Q)clang $(FUZZ_FLAGS) -fsanitize=fuzzer -o $@ $< -Wl,--start-group $(LIBRARIES:%=$(FUZZ)/lib%.a) -Wl,--end-group \
	    $(LIBS_all)
-include $(patsubst %.c,$(FUZZ)/%.d,$(SRC_product) $(wildcard tests/fuzz/*.c))

fuzz-programs: $(FUZZ_TARGETS:%=$(FUZZ)/bin/%)
fuzz: fuzz-programs
	$(Q)tests/fuzz/run $(FUZZ_SECONDS) $(FUZZ_TARGETS)

.PHONY: fuzz fuzz-programs
