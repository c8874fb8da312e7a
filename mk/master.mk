# The stub that stands in for a worker in the tests of the master.
STUB := $(OBJ)/tests/master/stubworker
$(STUB): $(STUB).o $(OBJ)/libcommon.a
	@echo "  LINK  $@"
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $^ -lbsd $(LDLIBS)
unit-programs: $(STUB)
-include $(STUB).d

# Master, stub and letterplate-stats with one counter more, in front of all others: what an upgrade to another layout meets.
OTHER := $(OBJ)/other
OTHER_FLAGS := -D'STATS_MORE_COUNTERS(X)=X(MORE, "more", "a counter that only the tests have")'
SRC_other := $(SRC_common) $(SRC_master) master/main.c tests/master/stubworker.c
$(OTHER)/%.o: %.c $(OBJ)/flags.mk
	@mkdir -p $(@D)
	@echo "  CC    $< (other)"
	$(Q)$(CC) $(CPPFLAGS_ALL) $(OTHER_FLAGS) $(CFLAGS_ALL) -MMD -MP -c -o $@ $<
$(OTHER)/libcommon.a: $(SRC_common:%.c=$(OTHER)/%.o)
	@rm -f $@
	$(Q)$(AR) rcs $@ $^
$(OTHER)/letterplate: $(patsubst %.c,$(OTHER)/%.o,$(SRC_master) master/main.c) $(OTHER)/libcommon.a
	@echo "  LINK  $@"
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $^ $(LIBS_letterplate) $(LDLIBS)
$(OTHER)/letterplate-worker: $(OTHER)/tests/master/stubworker.o $(OTHER)/libcommon.a
	@echo "  LINK  $@"
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $^ -lbsd $(LDLIBS)
unit-programs: $(OTHER)/letterplate $(OTHER)/letterplate-worker
-include $(SRC_other:%.c=$(OTHER)/%.d)
