# What is run in each guest of `cargo xtask bench --overhead`. Prints lines
#   FILESYSTEM CONFIG WORKLOAD WRITES INSTRUCTIONS
# of which those with the config `failures` tell what a plan has seen: FILESYSTEM failures PLAN N 0
# run.sh ROUNDS FILESYSTEMS CONFIGS
rounds=$1
filesystems=$2
configs=$3

# Nothing is written back but what the workload asks for.
echo 0 >/proc/sys/vm/dirty_writeback_centisecs
series=$(uname -r | cut -d. -f1,2)
case $series in
5.* | 6.*) locked=4 ;;
*) locked=2 ;;
esac
case $series in
5.*) direct=iomap_dio_rw release=btrfs_releasepage ordered=btrfs_finish_ordered_io.isra.0 ;;
6.1) direct=__iomap_dio_rw release=btrfs_release_folio ordered=btrfs_finish_ordered_io ;;
*) direct=__iomap_dio_rw release=btrfs_release_folio ordered=btrfs_finish_one_ordered ;;
esac
sed "s/@LOCKED@/$locked/; s/@RELEASE@/$release/; s/@ORDERED@/$ordered/; s/@DIRECT@/$direct/" /bin/pair.bt >/tmp/pair.bt

# begin NAME READY COMMAND...: starts a tracer, and waits until it says that it traces.
begin() {
    name=$1
    ready=$2
    shift 2
    "$@" >"/out/$name.log" 2>&1 &
    pid=$!
    for try in $(seq 300); do
        grep -q "$ready" "/out/$name.log" && break
        kill -0 $pid 2>/dev/null || break
        usleep 100000
    done
    # Until it no longer measures itself.
    sleep 3
}

for fs in $filesystems; do
    truncate -s 512M "/tmp/$fs.img"
    options=loop
    [ "$fs" = btrfs ] && options=loop,commit=3000
    for config in $configs; do
        case $fs in
        btrfs) mkfs.btrfs -q -f -d single -m single "/tmp/$fs.img" ;;
        xfs) mkfs.xfs -q -f "/tmp/$fs.img" ;;
        *) mkfs.ext4 -q -F "/tmp/$fs.img" ;;
        esac >/dev/null 2>&1
        mkdir -p /tmp/mnt
        mount -o $options "/tmp/$fs.img" /tmp/mnt || exit 1
        pid=
        case $config in
        none) ;;
        floor-*) begin "$fs.$config" attached floor attach "/out/list.$fs.${config#floor-}" ;;
        bpftrace) begin "$fs.$config" tracing bpftrace /tmp/pair.bt ;;
        *)
            args=
            [ "$config" = "${config#standby-}" ] || args=--standby
            begin "$fs.$config" 'Ctrl-C ends' \
                iomap-trace record --probes "${config#standby-}" $args -o "/out/$fs.$config.jsonl"
            floor look $pid >"/out/list.$fs.$config"
            ;;
        esac
        if [ -n "$pid" ] && ! kill -0 $pid 2>/dev/null; then
            echo "$fs $config does not run: $(tail -n 1 "/out/$fs.$config.log")" >&2
        else
            # A failure would end the standby.
            calm=
            [ "$config" = "${config#*standby-}" ] || calm=calm
            load /tmp/mnt "$rounds" $calm | sed "s/^/$fs $config /"
        fi
        if [ -n "$pid" ]; then
            # What was started in the background ignores an interrupt, unless it handles it.
            case $config in
            floor-*) kill -TERM $pid ;;
            *) kill -INT $pid ;;
            esac
            wait $pid 2>/dev/null
        fi
        if [ -e "/out/$fs.$config.jsonl" ]; then
            echo "$fs failures $config $(grep -c '"type":"failure"' "/out/$fs.$config.jsonl") 0"
        fi
        umount /tmp/mnt
    done
done
exit 0
