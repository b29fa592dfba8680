/* Firmware and kernel of a machine that Bochs emulates, for one static program: it turns on long mode and SSE to
 * AVX-512, copies the program from its ROM, lays the stack as Linux does, and answers the few system calls that a C
 * library makes for a test; what the program prints goes to the serial port. BASE, ENTRY and PHNUM come from
 * the program (scripts/check_avx512). No thread can be made. */
        .equ PML4, 0x1000
        .equ STACK_SAVED, 0x5000
        .equ BREAK, 0x5010
        .equ NEXT_MAP, 0x5018
        .equ CALL_STACK, 0x9000
        .equ STACK_TOP, 0x3f000000
        .equ SERIAL, 0x3f8
        .section .text
        .code16
        .org 0
start16:
        cli
        movb $2, %al
        outb %al, $0x92
        data32 lgdt %cs:gdt_pointer
        movl %cr0, %eax
        orl $1, %eax
        movl %eax, %cr0
        ljmpl $0x18, $0xf0000 + start32
        .code32
start32:
        movl $0x10, %eax
        movl %eax, %ds
        movl %eax, %es
        movl %eax, %ss
        cld
        movl $0xffe00000, %esi          /* the program lies in front of this */
        movl $BASE, %edi
        movl $(0x1f0000 / 4), %ecx
        rep movsl
        movl $PML4, %edi
        movl $0x3000 / 4, %ecx
        xorl %eax, %eax
        rep stosl
        movl $PML4 + 0x1003, PML4
        movl $PML4 + 0x2003, PML4 + 0x1000
        movl $PML4 + 0x2000, %edi
        movl $0x83, %eax
        movl $512, %ecx
1:      movl %eax, (%edi)
        movl $0, 4(%edi)
        addl $0x200000, %eax
        addl $8, %edi
        loop 1b
        movl $PML4, %eax
        movl %eax, %cr3
        movl $0x40620, %eax             /* PAE, OSFXSR, OSXMMEXCPT, OSXSAVE */
        movl %eax, %cr4
        movl $0xc0000080, %ecx          /* EFER: SCE, LME */
        rdmsr
        orl $0x101, %eax
        wrmsr
        movl $0x80000023, %eax          /* PG, NE, MP, PE */
        movl %eax, %cr0
        ljmpl $0x08, $0xf0000 + start64
        .code64
start64:
        movl $0x10, %eax
        movl %eax, %ds
        movl %eax, %es
        movl %eax, %ss
        fninit
        xorl %ecx, %ecx
        xorl %edx, %edx
        movl $0xe7, %eax                /* x87, SSE, AVX, opmask, ZMM */
        xsetbv
        movl $0xc0000081, %ecx          /* STAR */
        xorl %eax, %eax
        movl $0x00080008, %edx
        wrmsr
        movl $0xc0000082, %ecx          /* LSTAR */
        movl $0xf0000 + system_call, %eax
        xorl %edx, %edx
        wrmsr
        movl $0xc0000084, %ecx          /* SFMASK */
        xorl %eax, %eax
        wrmsr
        movl $SERIAL + 3, %edx          /* 115200 baud, 8 bits */
        movb $0x80, %al
        outb %al, %dx
        movl $SERIAL + 1, %edx
        movb $0, %al
        outb %al, %dx
        movl $SERIAL, %edx
        movb $1, %al
        outb %al, %dx
        movl $SERIAL + 3, %edx
        movb $3, %al
        outb %al, %dx
        movq $0x8000000, BREAK
        movq $0x10000000, NEXT_MAP
        movq $STACK_TOP, %rsp
        pushq $0
        pushq $0
        pushq $0xf0000 + gdt            /* AT_RANDOM: 16 bytes, any */
        pushq $25
        pushq $4096
        pushq $6
        pushq $PHNUM
        pushq $5
        pushq $56
        pushq $4
        pushq $BASE + 64
        pushq $3
        pushq $0                        /* no environment */
        pushq $0
        pushq $0xf0000 + name
        pushq $1
        xorl %edx, %edx
        xorl %ebp, %ebp
        movq $ENTRY, %rax
        jmp *%rax

system_call:
        movq %rsp, STACK_SAVED
        movq $CALL_STACK, %rsp
        pushq %rdi
        pushq %rsi
        pushq %rdx
        pushq %rcx
        cmpl $1, %eax
        je write
        cmpl $20, %eax
        je writev
        cmpl $9, %eax
        je mmap
        cmpl $12, %eax
        je break
        cmpl $158, %eax
        je arch_prctl
        cmpl $60, %eax
        je exit
        cmpl $231, %eax
        je exit
        cmpl $10, %eax                  /* mprotect, munmap, rt_sigaction, rt_sigprocmask, */
        je nothing                      /* clock_gettime, set_tid_address, set_robust_list */
        cmpl $11, %eax
        je nothing
        cmpl $13, %eax
        je nothing
        cmpl $14, %eax
        je nothing
        cmpl $228, %eax
        je nothing
        cmpl $218, %eax
        je nothing
        cmpl $273, %eax
        je nothing
        movq $-38, %rax                 /* ENOSYS */
        jmp back
nothing:
        xorl %eax, %eax
back:   popq %rcx
        popq %rdx
        popq %rsi
        popq %rdi
        movq STACK_SAVED, %rsp
        jmp *%rcx

put:    cld                             /* %rcx bytes at %rsi */
        jrcxz 2f
1:      lodsb
        call put_one
        loop 1b
2:      ret
put_one: movb %al, %ah
        movl $SERIAL + 5, %edx
1:      inb %dx, %al
        testb $0x20, %al
        jz 1b
        movb %ah, %al
        movl $SERIAL, %edx
        outb %al, %dx
        ret
write:  movq %rdx, %rcx
        pushq %rdx
        call put
        popq %rax
        jmp back
writev: movq %rsi, %rdi                 /* %rdx parts at %rdi */
        pushq $0
1:      testq %rdx, %rdx
        jz 2f
        pushq %rdx
        movq (%rdi), %rsi
        movq 8(%rdi), %rcx
        addq %rcx, 8(%rsp)
        call put
        popq %rdx
        addq $16, %rdi
        decq %rdx
        jmp 1b
2:      popq %rax
        jmp back
mmap:   testb $0x20, %r10b              /* MAP_ANONYMOUS */
        jz 1f
        addq $4095, %rsi
        andq $-4096, %rsi
        movq NEXT_MAP, %rax
        addq %rax, %rsi
        cmpq $STACK_TOP - 0x1000000, %rsi
        ja 1f
        movq %rsi, NEXT_MAP
        jmp back
1:      movq $-12, %rax
        jmp back
break:  testq %rdi, %rdi
        jz 1f
        movq %rdi, BREAK
1:      movq BREAK, %rax
        jmp back
arch_prctl:
        cmpl $0x1002, %edi              /* ARCH_SET_FS */
        movq $-22, %rax
        jne back
        movq %rsi, %rax
        movq %rsi, %rdx
        shrq $32, %rdx
        movl $0xc0000100, %ecx
        wrmsr
        jmp nothing
exit:   pushq %rdi
        leaq ended(%rip), %rsi
        movl $12, %ecx
        call put
        popq %rax
        addb $'0', %al
        call put_one
        movb $'\n', %al
        call put_one
        movb $'\n', %al                 /* sent when the next is taken */
        call put_one
        leaq shutdown(%rip), %rsi
        movl $8, %ecx
        movl $0x8900, %edx
1:      lodsb
        outb %al, %dx
        loop 1b
2:      hlt
        jmp 2b
name:   .asciz "test"
ended:  .ascii "\nexit status"
shutdown: .ascii "Shutdown"
        .balign 16
gdt:    .quad 0
        .quad 0x00af9b000000ffff        /* 0x08: 64-bit code */
        .quad 0x00cf93000000ffff        /* 0x10: data */
        .quad 0x00cf9b000000ffff        /* 0x18: 32-bit code */
gdt_pointer:
        .word 31
        .long 0xf0000 + gdt
        .org 0xfff0
        .code16
        jmp start16
        .org 0xffff
        .byte 0
