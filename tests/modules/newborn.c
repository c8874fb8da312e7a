/*
 * newborn: a module whose start goes as the file that its argument names says:
 * "crash" it crashes, "slow" it takes four seconds; without the file all is well.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "worker/handlers/handler.h"

static int
newborn_open(const struct handler_env *env, void **ctx)
{
	int fd = open(env->argument, O_RDONLY | O_CLOEXEC);
	char word = '\0';

	(void)ctx;
	if (fd == -1)
		return 0;
	if (read(fd, &word, 1) == 1 && word == 'c')
		abort();
	close(fd);
	if (word == 's')
		nanosleep(&(struct timespec){ 4, 0 }, NULL);
	return 0;
}

const struct handler_ops letterplate_handler = { .abi = HANDLER_ABI, .name = "newborn", .open = newborn_open };
