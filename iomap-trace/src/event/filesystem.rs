//! What a mounted filesystem, and a file on it, say of themselves.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

use super::Text;
use super::dev::Dev;

/// A filesystem with a mount among [`super::Start::mounts`], as it was when the run began.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Filesystem {
    /// Device of the super block.
    pub dev: Dev,
    /// On-disk features, by the names of the filesystem's own tools.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub features: Vec<Text>,
    /// btrfs: profiles of the data block groups, `single` or `raid1`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub data_profiles: Vec<Text>,
    /// btrfs: profiles of the metadata block groups.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub metadata_profiles: Vec<Text>,
    /// Bytes of a sector: btrfs' unit of data, the device's unit of xfs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sector_size: Option<u32>,
    /// btrfs: bytes of a tree block.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_size: Option<u32>,
    /// btrfs: kind of the checksums, with the driver that computes them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checksum: Option<Text>,
    /// ext4: what the journal does with data, `ordered`, `writeback` or `journal`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_mode: Option<Text>,
    /// What could not be read, by the name of the field, and why.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub missing: BTreeMap<Text, String>,
}

/// Attributes of a file with failures, taken when it was first named. Again when they have changed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileRecord {
    /// When they were read, nanoseconds since boot.
    pub ts_ns: u64,
    /// Device of the super block.
    pub dev: Dev,
    /// Inode number.
    pub ino: u64,
    /// btrfs: id of the subvolume.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root: Option<u64>,
    /// Size in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// Bytes allocated on disk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allocated: Option<u64>,
    /// Names of the inode flags that are set (`FS_IOC_GETFLAGS`, `FS_IOC_FSGETXATTR`); absent when
    /// they could not be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flags: Option<Vec<Text>>,
    /// xfs, ext4: hint for the size of extents in bytes, where one is set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extent_size: Option<u32>,
    /// btrfs: the property `compression`, where it is set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compression: Option<Text>,
    /// Why something is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing: Option<String>,
}
