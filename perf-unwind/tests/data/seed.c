/* What hostile tables are made from: see README.md. */
__asm__(".cfi_sections .eh_frame, .debug_frame");

extern void other(long *);

long leaf(long a)
{
	return a * 3;
}

long with_frame(long a, long b)
{
	long values[20];
	other(values);
	return values[a] + leaf(b);
}

long with_alloca(long n)
{
	char bytes[n + 1];
	other((long *)bytes);
	return bytes[n] + with_frame(n, n);
}

void start(void)
{
	__asm__ volatile(".cfi_undefined rip");
	with_alloca(7);
	__builtin_trap();
}
