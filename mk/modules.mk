# C modules: the examples, and those that tests load, as build/modules/*.so.
SRC_modules := $(wildcard examples/modules/*.c tests/modules/*.c)
MODULES := $(patsubst %.c,build/modules/%.so,$(notdir $(SRC_modules)))
vpath %.c examples/modules tests/modules

build/modules/%.so: %.c worker/handlers/handler.h worker/smtp/edit.h worker/smtp/txn.h build/variant $(OBJ)/flags.mk
	@mkdir -p $(@D)
	@echo "  SO    $@"
	$(Q)$(CC) $(CPPFLAGS_ALL) $(filter-out -fPIE,$(CFLAGS_ALL)) -fPIC -fvisibility=default \
	    $(filter-out -pie,$(LDFLAGS_ALL)) -shared -o $@ $<

modules: $(MODULES)
all: modules
.PHONY: modules
