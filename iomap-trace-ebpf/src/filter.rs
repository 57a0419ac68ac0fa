//! The filters of the command line, applied where a record would be made.

use iomap_trace_ebpf::{Actor, Identity};

use crate::read::setting;

/// Whether a filter leaves this writer out.
#[inline(always)]
pub fn leaves_out_writer(writer: &Actor, cgroup: u64) -> bool {
    let tgid = setting!(tgid);
    if tgid != 0 && writer.tgid != tgid {
        return true;
    }
    let wanted = setting!(cgroup);
    if wanted != 0 && cgroup != wanted {
        return true;
    }
    let comm = setting!(comm);
    comm[0] != 0 && comm != writer.comm
}

/// Whether any filter looks at the writer.
#[inline(always)]
pub fn by_writer() -> bool {
    setting!(tgid) != 0 || setting!(cgroup) != 0 || setting!(comm)[0] != 0
}

/// Whether a filter leaves this inode out.
#[inline(always)]
pub fn leaves_out_inode(inode: &Identity) -> bool {
    let dev = setting!(dev);
    let ino = setting!(ino);
    dev != 0 && inode.dev as u64 != dev && inode.stat_dev as u64 != dev
        || ino != 0 && inode.ino != ino
}
