// User-Mode Linux 6.1 takes a process's registers to have at most 2696 bytes
// (arch/x86/um/user-offsets.c), as with AVX-512. Where the CPU has more (AMX), the
// host refuses to set them by a part (arch/x86/kernel/fpu/regset.c), and no guest
// starts. Preloaded, this gives and takes the part: the rest stays as it is.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <elf.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/types.h>
#include <sys/uio.h>

// Not on the stack: a kernel's is small. One thread traces.
static char area[64 << 10];

long ptrace(enum __ptrace_request request, ...)
{
	static long (*real)(enum __ptrace_request, ...);
	va_list args;
	va_start(args, request);
	pid_t pid = va_arg(args, pid_t);
	void *addr = va_arg(args, void *);
	void *data = va_arg(args, void *);
	va_end(args);
	if (!real)
		real = dlsym(RTLD_NEXT, "ptrace");
	if ((request != PTRACE_GETREGSET && request != PTRACE_SETREGSET) || (long)addr != NT_X86_XSTATE)
		return real(request, pid, addr, data);

	struct iovec *part = data, all = {area, sizeof area};
	long err = real(PTRACE_GETREGSET, pid, addr, &all);
	if (err)
		return err;
	if (part->iov_len > all.iov_len)
		part->iov_len = all.iov_len;
	if (request == PTRACE_GETREGSET) {
		memcpy(part->iov_base, area, part->iov_len);
		return 0;
	}
	memcpy(area, part->iov_base, part->iov_len);
	return real(PTRACE_SETREGSET, pid, addr, &all);
}
