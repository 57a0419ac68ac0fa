# What is run on each kernel: leaves in /out what the host judges, and prints nothing.
# The names of the files are known to files.rs. SECONDS is how long each workload runs.
tracing=/sys/kernel/tracing
recording=$tracing/instances/iomap_trace_test
plans="fexit kprobe tracepoint"
seconds=$1
series=$(uname -r | cut -d. -f1,2)
limited="timeout -s KILL"

# The bit EXTENT_LOCKED, and whether btrfs lets a file with checksums go direct.
case $series in
5.10 | 6.1) locked=4 cow=--cow ;;
6.*) locked=4 cow= ;;
*) locked=2 cow= ;;
esac
workloads="buffered lockers mmap"
# These two lock themselves up for good in `lockers` now and then: then the guest is to end, and not to
# wait for its time-out.
case $series in
5.10 | 6.1)
    echo 40 >/proc/sys/kernel/hung_task_timeout_secs
    echo 1 >/proc/sys/kernel/hung_task_panic
    ;;
esac 2>/dev/null

# All that a tracer could leave behind.
state() {
    observer objects >"/out/state.$1"
    sed 's/^/kprobe /' /sys/kernel/debug/kprobes/list >>"/out/state.$1"
    sed 's/^/traced /' $tracing/enabled_functions >>"/out/state.$1" 2>/dev/null
}

# The kernel frees things some time after their last user has gone.
settled() {
    for try in 1 2 3 4 5 6 7 8 9 10; do
        state "$1"
        [ "$(wc -l <"/out/state.$1")" -le "$(wc -l </out/state.before)" ] && return
        sleep 1
    done
}

# event SYSTEM/NAME [FILTER]: lets the kernel's own trace record it.
event() {
    [ -n "$2" ] && echo "$2" >"$recording/events/$1/filter"
    echo 1 >"$recording/events/$1/enable"
    cat "$recording/events/$1/format" >"/out/format.${1#*/}"
}

# ready FILE PID: waits until that tracer has said that it traces, or has ended.
ready() {
    for try in $(seq 300); do
        grep -q 'Ctrl-C ends' "$1" && return
        kill -0 "$2" 2>/dev/null || return
        usleep 500000
    done
}

# start PREFIX PLAN [OPTION]: starts a tracer; its process is in the variable PREFIX_PLAN.
start() {
    $limited 900 iomap-trace record --probes "$2" $3 -o "/out/$1.$2.jsonl.zst" \
        >/dev/null 2>"/out/$1.$2.err" &
    eval "$1_$2=$!"
}

# finish NAME PID SIGNAL: ends a tracer, and keeps its exit status.
finish() {
    kill "-$3" "$2" 2>/dev/null
    wait "$2" 2>/dev/null
    echo $? >"/out/$1.status"
}

# generic NAME: runs that on vfat, with the results of the function recorded. On 5.10 one of the callers
# has the warning inlined, so the kernel's own trace does not tell all failures after the write.
generic() {
    [ "$series" = 5.10 ] && return
    event iomap_trace_test/refused 'ret != 0'
    workload "$1" vfat
    echo 0 >$recording/events/iomap_trace_test/refused/enable
}

# workload NAME FILESYSTEM...: runs it on all of them at once, beside the kernel's own trace. What
# stands behind a plus sign in the name is an option for btrfs (`buffered+cow`), `standby-` before it is
# no part of what is run.
workload() {
    name=$1
    repro=${name#standby-}
    repro=${repro%+*}
    shift
    pids=
    echo 1 >$recording/tracing_on
    for fs; do
        args=
        [ "$fs" = btrfs ] && args=$cow
        [ "$name" = "${name#*+}" ] || args=--${name#*+}
        # In a large file the two kinds of writers seldom meet: a few times in ten seconds.
        [ "$repro $fs" = "buffered btrfs" ] && args="$args --file-size 2M"
        $limited 200 iomap-trace repro "$repro" --dir "/mnt/$fs" --seconds "$seconds" --json --keep \
            $args >"/out/$name.$fs.repro" 2>"/out/$name.$fs.err" &
        pids="$pids $!"
    done
    for pid in $pids; do
        wait "$pid"
    done
    echo 0 >$recording/tracing_on
    for cpu in "$recording"/per_cpu/cpu*; do
        observer drain "$cpu/trace_pipe_raw" "/out/trace.$name.$1.${cpu##*/}"
        cat "$cpu/stats" >>"/out/trace.$name.$1.stats"
    done
    echo >$recording/trace
}

mkdir $recording
echo 0 >$recording/tracing_on
echo boot >$recording/trace_clock
echo 49152 >$recording/buffer_size_kb
echo 'p:iomap_trace_test/stale dio_warn_stale_pagecache' >>$tracing/kprobe_events
# On vfat no tracepoint tells of a failure before submission: every result that is not 0 does.
echo 'r256:iomap_trace_test/refused invalidate_inode_pages2_range ret=$retval:s32' \
    >>$tracing/kprobe_events
grep ' finish_ordered_fn' /proc/kallsyms >/out/symbols
ordered=0x$(cut -d' ' -f1 /out/symbols | head -n 1)
event iomap/iomap_dio_invalidate_fail
event iomap_trace_test/stale
event btrfs/btrfs_set_extent_bit "owner == 3 && set_bits & $locked"
event btrfs/btrfs_clear_extent_bit "owner == 3 && clear_bits & $locked"
event btrfs/btrfs_work_sched "func == $ordered"
event btrfs/btrfs_all_work_done
state before
cat /proc/uptime >/out/times

for plan in $plans; do
    start run "$plan"
done
for plan in $plans; do
    eval "ready /out/run.$plan.err \$run_$plan"
done
state during
cat /proc/uptime >>/out/times
for name in $workloads; do
    workload "$name" btrfs
    workload "$name" xfs ext4
done
if [ "$series" = 6.12 ]; then
    # A file that is written in place is not locked when that is done; one that is not, and has no
    # checksums either, goes direct all the same.
    mount -o remount,nodatasum /mnt/btrfs
    workload buffered+cow btrfs
fi
generic mmap
cat /proc/uptime >>/out/times
finish run.fexit "$run_fexit" INT
finish run.kprobe "$run_kprobe" INT
finish run.tracepoint "$run_tracepoint" TERM
settled ended
cat /proc/uptime >>/out/times

# In standby, until the first failure.
for plan in $plans; do
    start standby "$plan" --standby
done
for plan in $plans; do
    eval "ready /out/standby.$plan.err \$standby_$plan"
done
seconds=4
generic standby-mmap
workload standby-buffered btrfs
workload standby-mmap xfs ext4
for plan in $plans; do
    eval "finish standby.$plan \$standby_$plan INT"
done
cat /proc/uptime >>/out/times

# Again, to be killed, and to end by itself.
for plan in $plans; do
    start killed "$plan"
done
$limited 200 iomap-trace exec -o /out/exec.jsonl -- true >/dev/null 2>/out/exec.err
echo $? >/out/exec.status
for plan in $plans; do
    eval "ready /out/killed.$plan.err \$killed_$plan"
done
state during-again
for plan in $plans; do
    eval "finish killed.$plan \$killed_$plan KILL"
done
settled killed
cat /proc/uptime >>/out/times

# The kernel beside the reference, under a tracer of its own.
$limited 200 iomap-trace compare --dir /mnt/btrfs $cow --seconds 0.5 --json \
    >/out/compare.json 2>/out/compare.err
echo $? >/out/compare.status
cat /proc/uptime >>/out/times
exit 0
