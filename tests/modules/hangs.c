/*
 * hangs: a module that whoever loads it waits for, for ever.
 */
#include <unistd.h>

#include "worker/handlers/handler.h"

const struct handler_ops letterplate_handler = { .abi = HANDLER_ABI, .name = "hangs" };

static void __attribute__((constructor)) wait_for_ever(void)
{
	for (;;)
		pause();
}
