/*
 * Steps through a part of a program instruction by instruction, keeps the true stack of calls, and writes a thread's state
 * for addresses that it has not met often: what a profiler would record, and what is true.
 *
 * The processor's trap flag raises SIGTRAP behind each instruction; its handler runs on a stack of its own. A call has put
 * the address behind itself on the stack; what stands below the stack pointer has returned. That holds for tail calls,
 * procedure linkage tables, longjmp and exceptions as well.
 *
 * Written to the file descriptor 3, in the machine's words: the number of registers, their values in the order of perf's
 * bits, the number of true return addresses and these, innermost first, the number of stack bytes and these. At the end
 * /proc/self/maps goes to the standard output, and the vdso's image to the file descriptor 4.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <ucontext.h>
#include <unistd.h>

typedef uintptr_t word;

#ifndef VISITS
#define VISITS 2
#endif
#define DEPTH 4096
#define SEEN (1 << 16)

static struct { word slot, address; } calls[DEPTH];
static int depth;
static word last_pc, last_sp, top;
static struct { word pc; int visits; } seen[SEEN];
static char handler_stack[1 << 16];
static char record[1 << 20];
static int is_stepping;

static int is_call(word pc, word next)
{
	const unsigned char *code = (const unsigned char *)pc;
	if (next - pc < 2 || next - pc > 9)
		return 0;
	/* Prefixes: bnd, notrack, the thread's segment, and those of 64 bits. */
	while (*code == 0xf2 || *code == 0x3e || *code == 0x65 || *code == 0x67
#ifdef __x86_64__
	       || (*code & 0xf0) == 0x40
#endif
	)
		code++;
	return *code == 0xe8 || (*code == 0xff && (code[1] & 0x38) == 0x10);
}

static int is_new(word pc)
{
	word at = (pc * 2654435761u) >> 3;
	for (int i = 0; i < 64; i++, at++) {
		if (seen[at % SEEN].pc == pc)
			return seen[at % SEEN].visits++ < VISITS;
		if (!seen[at % SEEN].pc) {
			seen[at % SEEN].pc = pc;
			seen[at % SEEN].visits = 1;
			return 1;
		}
	}
	return 0;
}

static char *put(char *to, const void *from, size_t len)
{
	return (char *)memcpy(to, from, len) + len;
}

static void on_step(int number, siginfo_t *info, void *context)
{
	greg_t *regs = ((ucontext_t *)context)->uc_mcontext.gregs;
	(void)number;
	(void)info;
#ifdef __x86_64__
	static const int order[] = { REG_RAX, REG_RBX, REG_RCX, REG_RDX, REG_RSI, REG_RDI, REG_RBP, REG_RSP, REG_RIP,
		REG_R8, REG_R9, REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15 };
	word pc = regs[REG_RIP], sp = regs[REG_RSP];
#else
	static const int order[] = { REG_EAX, REG_EBX, REG_ECX, REG_EDX, REG_ESI, REG_EDI, REG_EBP, REG_ESP, REG_EIP };
	word pc = regs[REG_EIP], sp = regs[REG_ESP];
#endif
	while (depth && calls[depth - 1].slot < sp)
		depth--;
	if (sp == last_sp - sizeof(word) && is_call(last_pc, *(word *)sp) && depth < DEPTH) {
		calls[depth].slot = sp;
		calls[depth++].address = *(word *)sp;
	}
	last_pc = pc;
	last_sp = sp;
	if (!is_stepping) {
		regs[REG_EFL] &= ~0x100;
		return;
	}
	if (!is_new(pc))
		return;
	char *to = record;
	word count = sizeof(order) / sizeof(*order), size = top - sp;
	to = put(to, &count, sizeof count);
	for (word i = 0; i < count; i++)
		to = put(to, &regs[order[i]], sizeof(word));
	count = depth;
	to = put(to, &count, sizeof count);
	for (int i = depth; i--;)
		to = put(to, &calls[i].address, sizeof(word));
	if (size > (1 << 19))
		size = 1 << 19;
	to = put(to, &size, sizeof size);
	to = put(to, (void *)sp, size);
	for (char *from = record; from < to;) {
		ssize_t written = write(3, from, to - from);
		if (written <= 0)
			_exit(9);
		from += written;
	}
}

/* The first trap comes behind the instruction that follows. */
#ifdef __x86_64__
#define STEP() __asm__ volatile("pushfq; orq $0x100, (%%rsp); popfq; nop; nop" ::: "memory", "cc")
#else
#define STEP() __asm__ volatile("pushfl; orl $0x100, (%%esp); popfl; nop; nop" ::: "memory", "cc")
#endif

/* Goes on stepping in a signal handler, which the kernel enters without: below its return address is what was interrupted. */
#define STEP_IN_HANDLER(context)                                                                             \
	do {                                                                                                 \
		greg_t *interrupted = ((ucontext_t *)(context))->uc_mcontext.gregs;                          \
		calls[depth].slot = (word)(context);                                                         \
		calls[depth++].address = interrupted[REG_PC];                                                \
		calls[depth].slot = (word)__builtin_dwarf_cfa() - sizeof(word);                              \
		calls[depth++].address = (word)__builtin_return_address(0);                                  \
		last_sp = 0;                                                                                 \
		STEP();                                                                                      \
	} while (0)

#ifdef __x86_64__
#define REG_PC REG_RIP
#else
#define REG_PC REG_EIP
#endif

/* Steps through a function. */
__attribute__((noinline, noclone)) static void step_through(void (*function)(void))
{
	struct sigaction action;
	stack_t stack;
	memset(&action, 0, sizeof action);
	memset(&stack, 0, sizeof stack);
	stack.ss_sp = handler_stack;
	stack.ss_size = sizeof handler_stack;
	sigaltstack(&stack, 0);
	action.sa_sigaction = on_step;
	action.sa_flags = SA_SIGINFO | SA_ONSTACK;
	sigaction(SIGTRAP, &action, 0);
	/* The frames of main's callers end below its environment. */
	top = (word)environ & ~(word)15;
	is_stepping = 1;
	STEP();
	function();
	is_stepping = 0;
	__asm__ volatile("nop; nop; nop");
	int maps = open("/proc/self/maps", O_RDONLY);
	for (ssize_t len; (len = read(maps, record, sizeof record)) > 0;)
		if (write(1, record, len) != len)
			_exit(9);
	write(4, (void *)getauxval(AT_SYSINFO_EHDR), 8192);
}
