# What is run on each kernel: leaves in /out what the host judges, and prints nothing.
# The names of the files are known to judge.rs.
tracing=/sys/kernel/tracing
limited="timeout -s KILL"
# The compiled BPF programs have symbols: a means to count them that is not the tracer's own.
programs() {
    grep -c '[[:space:]]bpf_prog_' /proc/kallsyms
}

$limited 150 iomap-trace doctor --json >/out/doctor.json 2>/out/doctor.err
echo $? >/out/doctor.status
programs >/out/programs.before

for fs in xfs ext4 btrfs; do
    kernel=$tracing/instances/$fs
    mkdir "$kernel"
    echo 8192 >"$kernel/buffer_size_kb"
    echo 1 >"$kernel/events/iomap/iomap_dio_invalidate_fail/enable"
    $limited 150 iomap-trace exec -o "/out/$fs.jsonl" -- sh -c "
        grep -c '[[:space:]]bpf_prog_' /proc/kallsyms >/out/programs.during
        exec iomap-trace repro mmap --dir /mnt/$fs --seconds 3 --json" \
        >"/out/$fs.repro" 2>"/out/$fs.err"
    echo $? >"/out/$fs.status"
    echo 0 >"$kernel/tracing_on"
    cat "$kernel"/per_cpu/cpu*/stats >"/out/$fs.kernel"
    rmdir "$kernel"
done

# The kernel frees a program some time after its last user has gone.
for try in 1 2 3 4 5 6 7 8 9 10; do
    programs >/out/programs.after
    [ "$(cat /out/programs.after)" -le "$(cat /out/programs.before)" ] && break
    sleep 1
done
exit 0
