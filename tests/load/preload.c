/*
 * preload: stands in the place of program NAME and runs NAME.real with the
 * library NAME.so loaded before all others: the master gives its workers no
 * environment that could say so.
 */
#include <err.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int
main(int argc, char **argv)
{
	char name[PATH_MAX], program[PATH_MAX + 8], library[PATH_MAX + 8];
	ssize_t n = readlink("/proc/self/exe", name, sizeof(name) - 1);

	(void)argc;
	if (n == -1)
		err(1, "/proc/self/exe");
	name[n] = '\0';
	snprintf(program, sizeof(program), "%s.real", name);
	snprintf(library, sizeof(library), "%s.so", name);
	if (setenv("LD_PRELOAD", library, 1) == -1)
		err(1, "LD_PRELOAD");
	execv(program, argv);
	err(1, "%s", program);
}
