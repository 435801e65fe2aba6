//! Generates what the rivals' own compilers generate, with nothing installed: protobuf's schema is read by
//! protox and by ttrpc-codegen, and that of Cap'n Proto, for which there is no reader in Rust, is put
//! together here as its compiler would hand it to the generator.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=proto");
    println!("cargo::rustc-env=RIVALS_RUSTC={}", rustc());
    #[cfg(feature = "rivals")]
    rivals::generate().expect("the schemas are in this folder and make sense");
}

/// What compiled this, for the report.
fn rustc() -> String {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = std::process::Command::new(rustc).arg("--version").output();
    output.map_or_else(|_| "unknown".into(), |output| String::from_utf8_lossy(&output.stdout).trim().into())
}

#[cfg(feature = "rivals")]
mod rivals {
    use std::error::Error;
    use std::path::PathBuf;

    use capnp::message::Builder;
    use capnp::schema_capnp::{code_generator_request, node};

    type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

    pub(crate) fn generate() -> Result {
        let out = PathBuf::from(std::env::var_os("OUT_DIR").ok_or("OUT_DIR is not set")?);
        let schema = protox::compile(["echo.proto"], ["proto"])?;
        // Bodies that share memory, which is the best that tonic offers.
        tonic_prost_build::configure().bytes(".").compile_fds(schema)?;
        let ttrpc = out.join("ttrpc");
        std::fs::create_dir_all(&ttrpc)?;
        ttrpc_codegen::Codegen::new()
            .out_dir(&ttrpc)
            .input("proto/echo.proto")
            .include("proto")
            .rust_protobuf()
            .rust_protobuf_customize(ttrpc_codegen::ProtobufCustomize::default().gen_mod_rs(true))
            .customize(ttrpc_codegen::Customize { async_all: true, gen_mod: true, ..Default::default() })
            .run()?;
        // What is included must not speak of the module that it is included in.
        let modules = std::fs::read_to_string(ttrpc.join("mod.rs"))?;
        let modules: Vec<&str> = modules.lines().filter(|line| !line.starts_with("#![")).collect();
        std::fs::write(ttrpc.join("mod.rs"), modules.join("\n"))?;
        let mut request = Vec::new();
        capnp::serialize::write_message(&mut request, &echo_schema())?;
        capnpc::codegen::CodeGenerationCommand::new()
            .output_directory(out)
            .default_parent_module(["contenders", "rivals", "capnp"].map(String::from).into())
            .run(request.as_slice())?;
        Ok(())
    }

    const FILE: u64 = 0xa1f0_52b3_7c64_d801;
    const ECHO: u64 = 0xa1f0_52b3_7c64_d802;
    const PARAMETERS: u64 = 0xa1f0_52b3_7c64_d803;
    const RESULTS: u64 = 0xa1f0_52b3_7c64_d804;

    /// `interface Echo { echo @0 (body :Data) -> (body :Data); }` in a file `echo.capnp`.
    fn echo_schema() -> Builder<capnp::message::HeapAllocator> {
        let mut message = Builder::new_default();
        let mut request = message.init_root::<code_generator_request::Builder<'_>>();
        let mut nodes = request.reborrow().init_nodes(4);

        let mut file = named(nodes.reborrow().get(0), FILE, "echo.capnp", "", 0);
        let mut inside = file.reborrow().init_nested_nodes(1).get(0);
        inside.set_name("Echo");
        inside.set_id(ECHO);
        file.set_file(());

        let echo = named(nodes.reborrow().get(1), ECHO, "echo.capnp:", "Echo", FILE);
        let mut method = echo.init_interface().init_methods(1).get(0);
        method.set_name("echo");
        method.set_param_struct_type(PARAMETERS);
        method.set_result_struct_type(RESULTS);

        body(named(nodes.reborrow().get(2), PARAMETERS, "echo.capnp:Echo.", "echo$Params", 0));
        body(named(nodes.get(3), RESULTS, "echo.capnp:Echo.", "echo$Results", 0));

        let mut asked = request.init_requested_files(1).get(0);
        asked.set_id(FILE);
        asked.set_filename("echo.capnp");
        message
    }

    fn named<'a>(
        mut node: node::Builder<'a>,
        id: u64,
        prefix: &str,
        name: &str,
        scope: u64,
    ) -> node::Builder<'a> {
        node.set_id(id);
        node.set_display_name(format!("{prefix}{name}"));
        node.set_display_name_prefix_length(prefix.len() as u32);
        node.set_scope_id(scope);
        node
    }

    /// Makes the node a structure with one field `body :Data`.
    fn body(node: node::Builder<'_>) {
        let mut structure = node.init_struct();
        structure.set_pointer_count(1);
        let mut field = structure.init_fields(1).get(0);
        field.set_name("body");
        field.reborrow().init_ordinal().set_explicit(0);
        let mut slot = field.init_slot();
        slot.set_offset(0);
        slot.reborrow().init_type().set_data(());
        slot.init_default_value().set_data(&[]);
    }
}
