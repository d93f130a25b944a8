/*
 * Samples itself, at the ticks of a timer and at breakpoints, and writes what step.h writes: for aarch64, whose programs run
 * in an emulator that cannot step. What is true is told by the hooks of -finstrument-functions: in front of a function's
 * body and behind it its return address is not known to them, so that the innermost one or two may be missing.
 */
#define _GNU_SOURCE
#include <alloca.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/time.h>
#include <ucontext.h>
#include <unistd.h>

#define HOOK __attribute__((no_instrument_function))

typedef uintptr_t word;

static word calls[4096], top;
static volatile int depth;
static char handler_stack[1 << 16], record[1 << 20];
volatile long sink, samples;

HOOK void __cyg_profile_func_enter(void *function, void *call_site)
{
	(void)function;
	/* Without the code of pointer authentication. */
	calls[depth] = (word)call_site & 0xffffffffffff;
	depth = depth + 1;
}

HOOK void __cyg_profile_func_exit(void *function, void *call_site)
{
	(void)function;
	(void)call_site;
	depth = depth - 1;
}

HOOK static char *put(char *to, const void *from, size_t len)
{
	return (char *)memcpy(to, from, len) + len;
}

HOOK static void on_sample(int number, siginfo_t *info, void *context)
{
	mcontext_t *machine = &((ucontext_t *)context)->uc_mcontext;
	word count = 33, size = top - machine->sp;
	char *to = put(record, &count, sizeof count);
	(void)info;
	to = put(to, machine->regs, 31 * sizeof(word));
	to = put(to, &machine->sp, sizeof(word));
	to = put(to, &machine->pc, sizeof(word));
	count = depth;
	to = put(to, &count, sizeof count);
	for (int i = count; i--;)
		to = put(to, &calls[i], sizeof(word));
	to = put(to, &size, sizeof size);
	to = put(to, (void *)machine->sp, size);
	if (write(3, record, to - record) != to - record)
		_exit(9);
	samples = samples + 1;
	/* Behind the breakpoint. */
	if (number == SIGTRAP)
		machine->pc += 4;
}

__attribute__((noinline)) static void leaf(int n)
{
	for (int i = 0; i < n; i++)
		sink += i * i;
}

__attribute__((noinline)) static long with_alloca(int n)
{
	char *bytes = alloca(n);
	memset(bytes, n, n);
	leaf(20);
	__asm__ volatile("brk #0" ::: "memory");
	return bytes[n / 2];
}

__attribute__((noinline)) static long with_much(int n)
{
	char bytes[20000];
	memset(bytes + 9000, n, 100);
	leaf(20);
	return bytes[9000 + n % 100] + with_alloca(n % 300 + 16);
}

__attribute__((noinline)) static long with_floats(double a, double b)
{
	double sum = a;
	for (int i = 0; i < 3; i++) {
		sum = sum * b + a;
		leaf(5);
		sum += with_alloca(20 + i);
	}
	return (long)sum;
}

__attribute__((noinline)) static long recursive(int n)
{
	if (!n)
		return with_much(9) + with_floats(1.5, 2.5);
	long below = recursive(n - 1);
	sink++;
	return below;
}

static int compare(const void *a, const void *b)
{
	leaf(10);
	return *(const int *)a - *(const int *)b;
}

__attribute__((noinline)) static void in_handler(int number)
{
	sink += number;
	__asm__ volatile("brk #0" ::: "memory");
}

static void on_signal(int number)
{
	in_handler(number);
}

int main(void)
{
	struct sigaction action;
	stack_t stack;
	struct itimerval ticks = { { 0, 500 }, { 0, 500 } };
	memset(&action, 0, sizeof action);
	memset(&stack, 0, sizeof stack);
	stack.ss_sp = handler_stack;
	stack.ss_size = sizeof handler_stack;
	sigaltstack(&stack, 0);
	action.sa_sigaction = on_sample;
	action.sa_flags = SA_SIGINFO | SA_ONSTACK;
	sigaddset(&action.sa_mask, SIGALRM);
	sigaction(SIGTRAP, &action, 0);
	sigaction(SIGALRM, &action, 0);
	signal(SIGUSR1, on_signal);
	top = (word)environ & ~(word)15;
	setitimer(ITIMER_REAL, &ticks, 0);
	for (int n = 0; samples < 400; n++) {
		int numbers[40];
		for (int i = 0; i < 40; i++)
			numbers[i] = (i * 7919) % 101;
		sink += recursive(n % 9);
		qsort(numbers, 40, sizeof *numbers, compare);
		if (n % 4 == 0)
			kill(getpid(), SIGUSR1);
	}
	memset(&ticks, 0, sizeof ticks);
	setitimer(ITIMER_REAL, &ticks, 0);
	int maps = open("/proc/self/maps", O_RDONLY);
	for (ssize_t len; (len = read(maps, record, sizeof record)) > 0;)
		if (write(1, record, len) != len)
			_exit(9);
	const char *vdso = (const char *)getauxval(AT_SYSINFO_EHDR);
	if (vdso)
		write(4, vdso, 4096);
	return 0;
}
