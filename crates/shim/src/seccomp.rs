//! Filters of system calls: from the runtime specification's form to programs for the kernel.
//!
//! Source: OCI runtime specification, `config-linux.md`, "Seccomp"; `seccomp(2)`.

use crate::fail::{Context, Fail, Result};
use crate::syscalls;
use oci_spec::runtime::{
    LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArg, LinuxSeccompOperator, LinuxSyscall,
};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    TargetArch,
};
use std::collections::BTreeMap;

/// Rules by system call; one without conditions matches always.
type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// A filter has one action for what it matches, a profile has many. So there is a filter for each action, and the kernel
/// takes the strictest answer of all: the first lets pass what any rule names, and refuses the rest; the others refuse
/// what theirs name, each in its way. Of equal ones the kernel takes that which was installed last.
pub fn compile(profile: &LinuxSeccomp) -> Result<Vec<BpfProgram>> {
    let default = action(profile.default_action(), profile.default_errno_ret())?;
    let syscalls = profile.syscalls().as_ref().map(Vec::as_slice).unwrap_or_default();
    let mut named = Rules::new();
    let mut others: Vec<(SeccompAction, Rules)> = Vec::new();
    for syscall in syscalls {
        let chosen = action(syscall.action(), syscall.errno_ret())?;
        if chosen == default {
            continue;
        }
        add(&mut named, syscall)?;
        if chosen != SeccompAction::Allow {
            match others.iter_mut().find(|(action, _)| *action == chosen) {
                Some((_, rules)) => add(rules, syscall)?,
                None => {
                    let mut rules = Rules::new();
                    add(&mut rules, syscall)?;
                    others.push((chosen, rules));
                }
            }
        }
    }
    let mut programs = Vec::new();
    if default != SeccompAction::Allow {
        programs.push(program(named, default, SeccompAction::Allow)?);
    }
    for (action, rules) in others {
        programs.push(program(rules, SeccompAction::Allow, action)?);
    }
    Ok(programs)
}

/// Installs a program for this thread, which must be the only one. `seccompiler` has a function for it, which also sets
/// `no_new_privs`; whether that holds is the container's own choice.
pub fn install(program: &BpfProgram) -> std::io::Result<()> {
    let length = u16::try_from(program.len()).map_err(|_| std::io::ErrorKind::InvalidInput)?;
    // The two types are the same C structure (`struct sock_filter`).
    let filter = program.as_ptr().cast::<libc::sock_filter>().cast_mut();
    let program = libc::sock_fprog { len: length, filter };
    // SAFETY: the kernel reads `len` instructions, which live until the call is over, and writes nothing.
    let result =
        unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program, 0, 0) };
    if result == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
}

fn program(rules: Rules, otherwise: SeccompAction, matched: SeccompAction) -> Result<BpfProgram> {
    let arch = TargetArch::try_from(std::env::consts::ARCH).context("no filters of system calls here")?;
    let filter = SeccompFilter::new(rules, otherwise, matched, arch).context("the seccomp profile")?;
    filter.try_into().context("the seccomp profile")
}

/// Names that this machine does not have are left out, as runc does: profiles are written for all machines.
fn add(rules: &mut Rules, syscall: &LinuxSyscall) -> Result<()> {
    let args = syscall.args().as_ref().map(Vec::as_slice).unwrap_or_default();
    for name in syscall.names() {
        let Some(number) = syscalls::number(name) else { continue };
        let is_new = !rules.contains_key(&number);
        let list = rules.entry(number).or_default();
        if args.is_empty() {
            list.clear();
        } else if is_new || !list.is_empty() {
            let conditions = args.iter().map(condition).collect::<Result<_>>()?;
            list.push(SeccompRule::new(conditions).context("the seccomp profile")?);
        }
    }
    Ok(())
}

fn condition(arg: &LinuxSeccompArg) -> Result<SeccompCondition> {
    use LinuxSeccompOperator as Op;
    let (operator, value) = match arg.op() {
        Op::ScmpCmpNe => (SeccompCmpOp::Ne, arg.value()),
        Op::ScmpCmpLt => (SeccompCmpOp::Lt, arg.value()),
        Op::ScmpCmpLe => (SeccompCmpOp::Le, arg.value()),
        Op::ScmpCmpEq => (SeccompCmpOp::Eq, arg.value()),
        Op::ScmpCmpGe => (SeccompCmpOp::Ge, arg.value()),
        Op::ScmpCmpGt => (SeccompCmpOp::Gt, arg.value()),
        // Its first value is the mask.
        Op::ScmpCmpMaskedEq => (SeccompCmpOp::MaskedEq(arg.value()), arg.value_two().unwrap_or_default()),
    };
    let index = u8::try_from(arg.index())
        .map_err(|_| Fail::invalid("the seccomp profile names argument 256 or more"))?;
    SeccompCondition::new(index, SeccompCmpArgLen::Qword, operator, value).context("the seccomp profile")
}

fn action(action: LinuxSeccompAction, errno: Option<u32>) -> Result<SeccompAction> {
    use LinuxSeccompAction as Action;
    Ok(match action {
        Action::ScmpActKill | Action::ScmpActKillThread => SeccompAction::KillThread,
        Action::ScmpActKillProcess => SeccompAction::KillProcess,
        Action::ScmpActTrap => SeccompAction::Trap,
        Action::ScmpActErrno => SeccompAction::Errno(errno.unwrap_or(libc::EPERM as u32)),
        Action::ScmpActTrace => SeccompAction::Trace(errno.unwrap_or(libc::EPERM as u32)),
        Action::ScmpActLog => SeccompAction::Log,
        Action::ScmpActAllow => SeccompAction::Allow,
        Action::ScmpActNotify => {
            return Err(Fail::new(
                containerd_shim_protos::ttrpc::Code::UNIMPLEMENTED,
                "the seccomp profile asks another program (SCMP_ACT_NOTIFY), which is not supported",
            ));
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profile(text: &str) -> LinuxSeccomp {
        serde_json::from_str(text).unwrap()
    }

    /// What the programs answer for a call, as the kernel combines them; arguments are `first` and zeros.
    fn verdict(programs: &[BpfProgram], name: &str, first: u64) -> u32 {
        const ALLOW: u32 = 0x7fff_0000;
        let number = syscalls::number(name).unwrap() as u32;
        let mut data = vec![number, 0xc000_003e, 0, 0, first as u32, (first >> 32) as u32];
        data.resize(16, 0);
        let answers = programs.iter().map(|program| evaluate(program, &data));
        // Lower values are stricter, with a sign; the last installed wins among equals.
        let rank = |answer: u32| (answer & 0xffff_0000) as i32;
        answers.fold(ALLOW, |verdict, answer| if rank(answer) <= rank(verdict) { answer } else { verdict })
    }

    /// As much of BPF as filters use (`linux/filter.h`).
    fn evaluate(program: &BpfProgram, data: &[u32]) -> u32 {
        let (mut at, mut value) = (0, 0u32);
        loop {
            let one = &program[at];
            at += 1;
            let jump = |holds: bool| usize::from(if holds { one.jt } else { one.jf });
            match one.code {
                0x20 => value = data[one.k as usize / 4],
                0x54 => value &= one.k,
                0x05 => at += one.k as usize,
                0x15 => at += jump(value == one.k),
                0x25 => at += jump(value > one.k),
                0x35 => at += jump(value >= one.k),
                0x06 => return one.k,
                code => panic!("instruction {code:#x}"),
            }
        }
    }

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn a_profile_with_several_actions() {
        // The shape of Docker's default profile.
        let programs = compile(&profile(
            r#"{"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 1, "architectures": ["SCMP_ARCH_X86_64"],
                "syscalls": [
                    {"names": ["read", "write", "no_such_call"], "action": "SCMP_ACT_ALLOW"},
                    {"names": ["personality"], "action": "SCMP_ACT_ALLOW",
                     "args": [{"index": 0, "value": 0, "op": "SCMP_CMP_EQ"}]},
                    {"names": ["personality"], "action": "SCMP_ACT_ALLOW",
                     "args": [{"index": 0, "value": 8, "op": "SCMP_CMP_EQ"}]},
                    {"names": ["clone"], "action": "SCMP_ACT_ALLOW",
                     "args": [{"index": 0, "value": 2114060288, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"}]},
                    {"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38},
                    {"names": ["reboot"], "action": "SCMP_ACT_KILL_PROCESS"}
                ]}"#,
        ))
        .unwrap();
        const ALLOW: u32 = 0x7fff_0000;
        const ERRNO: u32 = 0x0005_0000;
        for (name, first, expected) in [
            ("read", 0, ALLOW),
            ("mount", 0, ERRNO | 1),
            ("personality", 0, ALLOW),
            ("personality", 8, ALLOW),
            ("personality", 1 << 40, ERRNO | 1),
            ("clone", 0x11, ALLOW),
            ("clone", 0x1000_0000, ERRNO | 1),
            ("clone3", 0, ERRNO | 38),
            ("reboot", 0, 0x8000_0000),
        ] {
            let found = verdict(&programs, name, first);
            assert_eq!(found, expected, "{name} {first:#x}: {found:#x}");
        }
    }

    #[test]
    fn a_list_of_refusals() {
        let programs = compile(&profile(
            r#"{"defaultAction": "SCMP_ACT_ALLOW",
                "syscalls": [{"names": ["mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 13}]}"#,
        ))
        .unwrap();
        assert_eq!(programs.len(), 1);
        assert!(compile(&profile(r#"{"defaultAction": "SCMP_ACT_ALLOW"}"#)).unwrap().is_empty());
        let asks = r#"{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["read"], "action": "SCMP_ACT_NOTIFY"}]}"#;
        assert!(compile(&profile(asks)).is_err());
    }
}
