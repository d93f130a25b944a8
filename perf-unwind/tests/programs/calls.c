/* Calls of many kinds, stepped through. */
#include "step.h"

#include <alloca.h>
#include <setjmp.h>
#include <stdio.h>

volatile long sink;

__attribute__((noinline)) static void leaf(int n)
{
	for (int i = 0; i < n; i++)
		sink += i * i;
}

__attribute__((noinline)) static long many(long a, long b, long c, long d, long e, long f, long g, long h)
{
	leaf(3);
	return a * b + c * d + e * f + g * h;
}

__attribute__((noinline)) static long with_alloca(int n)
{
	char *bytes = alloca(n);
	memset(bytes, n, n);
	leaf(2);
	return bytes[n / 2] + many(n, 2, 3, 4, 5, 6, 7, 8);
}

__attribute__((noinline)) static long with_much(int n)
{
	char bytes[20000];
	memset(bytes + 9000, n, 100);
	leaf(2);
	return bytes[9000 + n % 100] + with_alloca(n % 300 + 16);
}

typedef float vector __attribute__((vector_size(32)));

__attribute__((noinline)) static float aligned(int n)
{
	vector values[4];
	for (int i = 0; i < 4; i++)
		values[i] = (vector){ n, i };
	leaf(2);
	sink += with_alloca(n % 200 + 1);
	return values[n % 4][n % 4];
}

__attribute__((noinline)) static long tail(int n)
{
	leaf(1);
	return with_alloca(n + 20);
}

__attribute__((noinline)) static long recursive(int n)
{
	if (!n)
		return (long)aligned(7) + with_much(9) + tail(3);
	long below = recursive(n - 1);
	sink++;
	return below;
}

static int compare(const void *a, const void *b)
{
	leaf(1);
	return *(const int *)a - *(const int *)b;
}

static jmp_buf back;

/* Its arguments are passed as setjmp's are, so that its frame is below where longjmp goes. */
__attribute__((noipa)) static void jumps(int n)
{
	if (!n)
		longjmp(back, 1);
	jumps(n - 1);
	sink++;
}

__attribute__((noinline)) static void in_handler(int number)
{
	sink += number;
	leaf(1);
}

static void on_signal(int number, siginfo_t *info, void *context)
{
	STEP_IN_HANDLER(context);
	(void)info;
	in_handler(number);
	leaf(2);
}

static void work(void)
{
	int numbers[40];
	char text[200], *copy;
	for (int i = 0; i < 40; i++)
		numbers[i] = (i * 7919) % 101;
	sink += recursive(5);
	qsort(numbers, 40, sizeof *numbers, compare);
	snprintf(text, sizeof text, "%d %s %5.3f %lx", numbers[3], "words", 1.25 * numbers[4], (long)numbers[5]);
	copy = strdup(text);
	sink += strlen(copy) + strtol(copy, 0, 10);
	free(copy);
	if (!setjmp(back))
		jumps(4);
	struct sigaction action;
	memset(&action, 0, sizeof action);
	action.sa_sigaction = on_signal;
	action.sa_flags = SA_SIGINFO;
	sigaction(SIGUSR1, &action, 0);
	/* musl's raise blocks SIGTRAP, too. */
	kill(getpid(), SIGUSR1);
	leaf(1);
}

int main(void)
{
	step_through(work);
	return 0;
}
