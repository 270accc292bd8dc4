//! The smallest program that `esptool elf2image` takes: an application descriptor in flash, and code in RAM.

use ota_pal::Version;

/// A chip as described by a linker script.
#[derive(Clone, Copy, Debug)]
pub struct Chip {
    /// The name in `esptool`.
    pub name: &'static str,
    /// `e_machine`: 0xF3 for RISC-V, 0x5E for Xtensa.
    machine: u16,
    /// Where flash is mapped for data, behind the headers of image and segment.
    flash: u32,
    /// Address of code in RAM.
    ram: u32,
}

const fn chip(name: &'static str, machine: u16, flash: u32, ram: u32) -> Chip {
    Chip { name, machine, flash, ram }
}

/// One chip of every address map.
pub const CHIPS: [Chip; 4] = [
    chip("esp32", 0x5E, 0x3F40_0020, 0x4008_0000),
    chip("esp32s3", 0x5E, 0x3C00_0020, 0x4037_4000),
    chip("esp32c3", 0xF3, 0x3C00_0020, 0x4038_0000),
    chip("esp32c6", 0xF3, 0x4200_0020, 0x4080_0000),
];

/// The application descriptor of the program.
#[derive(Clone, Copy, Debug)]
pub struct Program {
    /// The text before the version: nothing, or `v`.
    pub prefix: &'static str,
    /// The version.
    pub version: Version,
    /// The security counter.
    pub secure_version: u32,
    /// The project's name.
    pub project: &'static str,
    /// Constants behind the descriptor, bytes.
    pub data_bytes: usize,
    /// Code in RAM, bytes.
    pub code_bytes: usize,
}

impl Program {
    /// The program as a linker leaves it.
    pub fn elf(&self, chip: Chip) -> Vec<u8> {
        let mut data = self.descriptor();
        data.resize(data.len() + self.data_bytes, 0x5A);
        let code = vec![0x13; self.code_bytes];
        let sections = [(".flash.appdesc", chip.flash, data), (".iram0.text", chip.ram, code)];
        assemble(chip, &sections)
    }

    /// `esp_app_desc_t`: 256 bytes. `esptool` writes the digest of the program where it is zero.
    fn descriptor(&self) -> Vec<u8> {
        let mut bytes = vec![0; 256];
        let mut put = |at: usize, field: &[u8]| bytes[at..at + field.len()].copy_from_slice(field);
        put(0, &0xABCD_5432_u32.to_le_bytes());
        put(4, &self.secure_version.to_le_bytes());
        put(16, format!("{}{}", self.prefix, self.version).as_bytes());
        put(48, self.project.as_bytes());
        put(80, b"12:00:00");
        put(96, b"Jan  1 2026");
        put(112, b"v5.5");
        put(180, &[16]); // pages of 64 KiB
        bytes
    }
}

/// A 32-bit ELF file of these sections, and one with their names.
fn assemble(chip: Chip, sections: &[(&str, u32, Vec<u8>)]) -> Vec<u8> {
    const HEADER_BYTES: u32 = 52;
    let names: String = sections.iter().map(|(name, ..)| format!("\0{name}")).chain(["\0.shstrtab\0".into()]).collect();
    let name_at = |name: &str| names.find(name).expect("all names are there") as u32;
    let (mut body, mut table) = (Vec::new(), vec![[0; 10]]);
    let mut add = |name: &str, kind: u32, flags: u32, address: u32, bytes: &[u8]| {
        let at = HEADER_BYTES + body.len() as u32;
        table.push([name_at(name), kind, flags, address, at, bytes.len() as u32, 0, 0, 4, 0]);
        body.extend_from_slice(bytes);
    };
    for (name, address, bytes) in sections {
        add(name, 1, 2, *address, bytes);
    }
    add(".shstrtab", 3, 0, 0, names.as_bytes());

    let (table_at, count) = (HEADER_BYTES + body.len() as u32, table.len() as u16);
    let mut elf = b"\x7FELF\x01\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    elf.extend([2, chip.machine].map(u16::to_le_bytes).concat());
    elf.extend([1, chip.ram, 0, table_at, 0].map(u32::to_le_bytes).concat());
    elf.extend([HEADER_BYTES as u16, 32, 0, 40, count, count - 1].map(u16::to_le_bytes).concat());
    elf.extend(body);
    elf.extend(table.concat().into_iter().flat_map(u32::to_le_bytes));
    elf
}
