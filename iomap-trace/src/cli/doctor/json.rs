//! The findings as one JSON object.

use anyhow::Result;
use serde_json::{Value, json};

use super::Findings;
use crate::kernel::Kernel;

/// One indented object and a newline.
pub fn render(findings: &Findings<'_>) -> Result<String> {
    let kernel = findings.kernel;
    let missing = kernel.layout.missing.iter();
    let missing = missing.map(|(slot, why)| ((*slot).to_owned(), Value::from(why.as_str())));
    let value = json!({
        "kernel": {
            "release": kernel.info.release,
            "build": kernel.info.build,
            "arch": kernel.info.arch,
            "page_size": kernel.page_size,
            "boot_id": kernel.boot_id,
        },
        "privileges": kernel.privileges,
        "btf": btf(kernel),
        "symbols": symbols(kernel),
        "tracefs": tracefs(kernel),
        "plan": findings.plan,
        "hooks": findings.hooks,
        "programs": findings.programs,
        "layout": kernel.layout.named(),
        "layout_missing": missing.collect::<serde_json::Map<_, _>>(),
        "facts": kernel.facts,
        "mounts": kernel.mounts,
        "notes": findings.notes,
    });
    Ok(serde_json::to_string_pretty(&value)? + "\n")
}

fn btf(kernel: &Kernel) -> Value {
    let types = match &kernel.types {
        Ok(types) => types,
        Err(e) => return json!({"available": false, "reason": e.to_string()}),
    };
    let pairs = |(name, value): (&str, Value)| (name.to_owned(), value);
    let objects = types.objects().map(|(n, count)| pairs((n, count.into())));
    let unread = types.unread().iter();
    let unread = unread.map(|(name, why)| pairs((name, why.as_str().into())));
    json!({
        "available": true,
        "reason": null,
        "types": objects.collect::<serde_json::Map<_, _>>(),
        "unread": unread.collect::<serde_json::Map<_, _>>(),
    })
}

fn symbols(kernel: &Kernel) -> Value {
    match kernel.symbols() {
        Ok(symbols) => json!({
            "count": symbols.len(),
            "addresses": symbols.why_no_addresses().is_none(),
            "reason": symbols.why_no_addresses(),
        }),
        Err(why) => json!({"count": 0, "addresses": false, "reason": why}),
    }
}

fn tracefs(kernel: &Kernel) -> Value {
    match &kernel.tracefs {
        Ok(tracefs) => json!({"at": tracefs.root().to_string_lossy(), "reason": null}),
        Err(why) => json!({"at": null, "reason": why}),
    }
}
