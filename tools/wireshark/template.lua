-- NNRP/1 for Wireshark.
--@NOTICE@
--
-- Packets are found on every TCP port by their first bytes, and on the port of the preferences in any case. What is
-- sent over QUIC or TLS is encrypted and cannot be shown.

local nnrp = Proto("nnrp", "Neural Network Runtime Protocol")

--@TABLES@

local MAGIC = "NNRP"
local HEADER_LENGTH = LAYOUTS.header.length
-- A length of the header that is beyond this is damage, and waiting for so many bytes would hide everything after it.
local MAX_PACKET_LENGTH = 256 * 1024 * 1024
-- Entries of a list that are shown one by one; a frame may have 65535 tiles.
local MAX_SHOWN = 256
-- Behind each packet of a segment in the packet list. Which one is the last is not known while they are shown.
local INFO_GAP = "   "
local TENSOR = 0x01
local KIND_TILE_INDEX, KIND_SECTION_TABLE = 0x02, 0x03
local DENSE_RANGE, RAW_U16, DELTA_U16 = 0, 1, 2
local FIXED_STRIDE = 0x02

-- Fields. Those of the tables are made from the tables; the rest is what bodies hold beside them.

local fields = {}
local experts = {
    violation = ProtoExpert.new("nnrp.violation", "A rule of NNRP/1 is broken", expert.group.PROTOCOL, expert.severity.ERROR),
    cut = ProtoExpert.new("nnrp.cut", "Bytes are missing", expert.group.MALFORMED, expert.severity.ERROR),
}

local function add_field(make, ...)
    local field = make(...)
    fields[#fields + 1] = field
    return field
end

local NUMBERS = { [1] = ProtoField.uint8, [2] = ProtoField.uint16, [4] = ProtoField.uint32, [8] = ProtoField.uint64 }

-- Makes the fields of one layout: `nnrp.LAYOUT.FIELD`, and one more for each bit of a mask.
local function register(layout)
    for _, row in ipairs(layout.fields) do
        local abbreviation = "nnrp." .. layout.name .. "." .. row.name
        local names = row.enum and ENUMS[row.enum]
        local display = (row.mask or row.hex) and base.HEX or base.DEC
        row.field = add_field(NUMBERS[row.size], abbreviation, row.name, display, names, nil, row.doc)
        row.bits = {}
        for _, bit in ipairs(row.mask and MASKS[row.mask] or {}) do
            local name = abbreviation .. "." .. bit.name:lower()
            row.bits[#row.bits + 1] =
                add_field(ProtoField.bool, name, bit.name, 8 * row.size, nil, bit.value, bit.doc)
        end
    end
end

for _, layout in pairs(LAYOUTS) do
    register(layout)
end

local other = {
    text = add_field(ProtoField.string, "nnrp.text", "text", base.UNICODE),
    data = add_field(ProtoField.bytes, "nnrp.data", "bytes"),
    padding = add_field(ProtoField.bytes, "nnrp.padding", "padding"),
    auth_block = add_field(ProtoField.bytes, "nnrp.auth_block", "auth_block"),
    tile_id = add_field(ProtoField.uint16, "nnrp.tile_id", "tile id"),
    tile_length = add_field(ProtoField.uint32, "nnrp.tile_length", "tile length"),
    tile_codec = add_field(ProtoField.uint8, "nnrp.tile_codec", "tile codec"),
    tile = add_field(ProtoField.bytes, "nnrp.tile", "tile"),
}
nnrp.fields = fields
nnrp.experts = { experts.violation, experts.cut }

-- A reader takes ranges from the front of a region, never more than it has.

local Reader = {}
Reader.__index = Reader

local function reader(tvb, from, length)
    local stop = math.min(from + length, tvb:len())
    return setmetatable({ tvb = tvb, start = from, at = from, stop = math.max(from, stop) }, Reader)
end

function Reader:remaining()
    return self.stop - self.at
end

-- Takes `length` bytes, or what is left. Returns the range, which is nil when it is empty, and whether all were there.
function Reader:take(length)
    local found = math.min(length, self:remaining())
    local from = self.at
    self.at = from + found
    if found == 0 then
        return nil, length == 0
    end
    return self.tvb:range(from, found), found == length
end

function Reader:sub(length)
    local inner = reader(self.tvb, self.at, math.min(length, self:remaining()))
    self.at = inner.stop
    return inner
end

-- Shows `length` bytes as `field`; says so when some are missing.
function Reader:show(tree, field, length, label)
    local range, whole = self:take(length)
    if range then
        local item = tree:add(field, range)
        if label then
            item:set_text(label .. ": " .. range:len() .. " bytes")
        end
    end
    if not whole then
        tree:add_proto_expert_info(experts.cut)
    end
end

-- Shows the zeros up to the next multiple of 8, counted from the start of the region.
function Reader:pad(tree)
    local used = (self.at - self.start) % 8
    if used ~= 0 and self:remaining() > 0 then
        self:show(tree, other.padding, math.min(8 - used, self:remaining()))
    end
end

function Reader:rest(tree, label)
    if self:remaining() > 0 then
        self:show(tree, other.data, self:remaining(), label)
    end
end

-- Adds a subtree for a region that is not empty.
local function branch(tree, region, label)
    if region:remaining() == 0 then
        return tree:add(nnrp, label)
    end
    return tree:add(nnrp, region.tvb:range(region.at, region:remaining()), label)
end

local function refuse(item, rule, text)
    item:add_proto_expert_info(experts.violation, (rule and rule .. ": " or "") .. text)
end

-- Shows a fixed layout and returns its values by name, or nil when it is cut.
local function show_layout(region, tree, layout)
    local values = {}
    for _, row in ipairs(layout.fields) do
        local range, whole = region:take(row.size)
        if not whole then
            tree:add_proto_expert_info(experts.cut)
            return nil
        end
        local item = tree:add_le(row.field, range)
        for _, bit in ipairs(row.bits) do
            item:add_le(bit, range)
        end
        local value = row.size == 8 and range:le_uint64():tonumber() or range:le_uint()
        values[row.name] = value
        if row.rule and row.enum and not ENUMS[row.enum][value] then
            refuse(item, row.rule, value .. " is not a valid " .. row.enum)
        elseif row.zero and value ~= 0 then
            refuse(item, row.rule, row.name .. " must be 0")
        end
    end
    return values
end

-- Control messages.

local function show_extensions(region, tree)
    local shown = 0
    while region:remaining() > 0 and shown < MAX_SHOWN do
        local entry = branch(tree, region, "extension")
        local values = show_layout(region, entry, LAYOUTS.control_extension)
        if not values then
            return
        end
        local layout = EXTENSIONS[values.ext_type]
        entry:set_text(string.format("extension 0x%04x %s", values.ext_type, layout or ""))
        local payload = region:sub(values.ext_len)
        entry:set_len(8 + payload:remaining())
        if layout and payload:remaining() == LAYOUTS[layout].length then
            show_layout(payload, entry, LAYOUTS[layout])
        end
        payload:rest(entry, "payload")
        region:pad(entry)
        shown = shown + 1
    end
    region:rest(tree, "more extensions")
end

local bodies = {}

function bodies.CLIENT_HELLO(region, tree, metadata)
    show_extensions(region:sub(metadata.control_extension_bytes), tree)
    region:show(tree, other.auth_block, metadata.auth_bytes)
end

function bodies.SERVER_HELLO_ACK(region, tree, metadata)
    show_extensions(region:sub(metadata.control_extension_bytes), tree)
    region:show(tree, other.text, region:remaining())
end

function bodies.SESSION_PATCH(region, tree)
    if region:remaining() > 0 then
        show_layout(region, tree, LAYOUTS.tensor_profile_patch_block)
    end
end

function bodies.SESSION_PATCH_ACK(region, tree)
    if region:remaining() > 0 then
        show_layout(region, tree, LAYOUTS.tensor_profile_patch_ack_block)
    end
end

function bodies.CLOSE(region, tree)
    region:show(tree, other.text, region:remaining())
end

function bodies.ERROR(region, tree, metadata)
    region:show(tree, other.text, math.min(metadata.diagnostic_bytes, region:remaining()))
    region:pad(tree)
    show_extensions(region, tree)
end

function bodies.SESSION_MIGRATE(region, tree)
    region:show(tree, other.auth_block, region:remaining())
end

-- Frames and results.

-- What the metadata says about the tiles. A result has no mode: a tile index that is there is raw_u16.
local function tiles_of(metadata)
    local mode = metadata.tile_index_mode
    if not mode then
        mode = metadata.tile_index_bytes > 0 and RAW_U16 or DENSE_RANGE
    end
    return { mode = mode, count = metadata.tile_count, base = metadata.tile_base_id, sections = metadata.section_count }
end

local function show_tile_index(region, tree, length, tiles)
    local block = region:sub(length)
    local index = branch(tree, block, "tile index: " .. (ENUMS.TileIndexMode[tiles.mode] or "?") .. ", " .. tiles.count .. " tiles")
    if tiles.mode == DENSE_RANGE and tiles.count > 0 then
        index:append_text(" from " .. tiles.base)
    end
    local id, shown = 0, 0
    if tiles.mode == RAW_U16 or tiles.mode == DELTA_U16 then
        while block:remaining() >= 2 and shown < MAX_SHOWN do
            local range = block:take(2)
            id = range:le_uint() + (tiles.mode == DELTA_U16 and id or 0)
            index:add(other.tile_id, range, id)
            shown = shown + 1
        end
    end
    block:rest(index, "tile index")
end

local function show_section(region, tree, number)
    local section = branch(tree, region, "section " .. number)
    local from = region.at
    local desc = show_layout(region, section, LAYOUTS.tensor_section_desc)
    if not desc then
        return
    end
    section:append_text(string.format(": role %d, %s", desc.role_id, ENUMS.TensorDType[desc.dtype_id] or "?"))
    local codecs = region:sub(desc.codec_table_bytes)
    while codecs:remaining() > 0 and codecs.at - codecs.start < MAX_SHOWN do
        section:add(other.tile_codec, (codecs:take(1)))
    end
    codecs:rest(section, "more codecs")
    local lengths, table_region = {}, region:sub(desc.length_table_bytes)
    while table_region:remaining() >= 4 and #lengths < MAX_SHOWN do
        local range = table_region:take(4)
        lengths[#lengths + 1] = range:le_uint()
        section:add_le(other.tile_length, range)
    end
    table_region:rest(section, "more lengths")
    local payload = region:sub(desc.payload_bytes)
    local is_strided = math.floor(desc.flags / FIXED_STRIDE) % 2 == 1
    for _, length in ipairs(lengths) do
        if length > 0 then
            payload:show(section, other.tile, length)
        end
        if is_strided and desc.payload_stride_bytes > length then
            payload:show(section, other.padding, math.min(desc.payload_stride_bytes - length, payload:remaining()))
        end
    end
    payload:rest(section, "payload")
    section:set_len(region.at - from)
end

-- Shows sections, which start at multiples of 8 from the start of the region.
local function show_sections(region, tree, tiles)
    local shown = 0
    while shown < tiles.sections and region:remaining() > 0 and shown < MAX_SHOWN do
        region:pad(tree)
        show_section(region, tree, shown)
        shown = shown + 1
    end
    region:rest(tree, "unexpected bytes")
end

local function show_plain(region, tree, metadata)
    local tiles = tiles_of(metadata)
    if metadata.camera_bytes and metadata.camera_bytes > 0 then
        region:show(tree, other.data, metadata.camera_bytes, "camera block")
        region:pad(tree)
    end
    show_tile_index(region, tree, metadata.tile_index_bytes, tiles)
    show_sections(region, tree, tiles)
end

local function show_inline_objects(region, tree, metadata)
    local tiles, shown = tiles_of(metadata), 0
    while region:remaining() > 0 and shown < MAX_SHOWN do
        local block = branch(tree, region, "inline object")
        local from = region.at
        local header = show_layout(region, block, LAYOUTS.inline_object_block_header)
        if not header then
            return
        end
        block:append_text(" " .. (ENUMS.CacheObjectKind[header.object_kind] or header.object_kind))
        local object = region:sub(header.object_bytes)
        if header.object_kind == KIND_TILE_INDEX then
            show_tile_index(object, block, object:remaining(), tiles)
        elseif header.object_kind == KIND_SECTION_TABLE then
            show_sections(object, block, tiles)
        else
            object:rest(block, "object")
        end
        region:pad(block)
        block:set_len(region.at - from)
        shown = shown + 1
    end
    region:rest(tree, "more inline objects")
end

-- Shows records of one layout and returns their values.
local function show_records(region, tree, layout, label)
    local all = {}
    while region:remaining() > 0 and #all < MAX_SHOWN do
        local record = region:sub(layout.length)
        local values = show_layout(record, branch(tree, record, label .. " " .. #all), layout)
        if not values then
            return all
        end
        all[#all + 1] = values
    end
    region:rest(tree, "more of them")
    return all
end

-- Shows the payloads that descriptors point to.
local function show_payloads(region, tree, descriptors, label)
    for number, values in ipairs(descriptors) do
        local from = region.start + values.payload_offset
        if from >= region.at and from <= region.stop then
            region:show(tree, other.data, from - region.at, "unused")
            local name = values.payload_kind and PAYLOAD_KINDS[values.payload_kind] or ""
            region:show(tree, other.data, values.payload_length, label .. " " .. (number - 1) .. " " .. name)
        end
    end
    region:rest(tree, "unused")
end

local function show_composed(region, tree, metadata)
    local prelude = show_layout(region, tree, LAYOUTS.body_region_prelude)
    if not prelude then
        return
    end
    show_inline_objects(region:sub(prelude.inline_object_bytes), tree, metadata)
    show_records(region:sub(prelude.object_reference_bytes), tree, LAYOUTS.object_reference_block, "object reference")
    local typed = region:sub(prelude.typed_payload_descriptor_bytes)
    typed = show_records(typed, tree, LAYOUTS.typed_payload_descriptor, "typed payload")
    show_payloads(region:sub(prelude.typed_payload_frame_bytes), tree, typed, "typed payload")
    local frames = region:sub(prelude.extension_descriptor_bytes)
    frames = show_records(frames, tree, LAYOUTS.extension_frame_descriptor, "extension frame")
    show_payloads(region:sub(prelude.extension_payload_bytes), tree, frames, "extension frame")
end

-- The layout of a body follows from the metadata alone.
local function is_plain(metadata)
    return metadata.payload_kind_bitmap == TENSOR
        and metadata.payload_frame_count == 0
        and (metadata.submit_mode or 0) == 0
        and (metadata.object_ref_mask or 0) == 0
end

local function show_frame(region, tree, metadata)
    if region:remaining() == 0 then
        return
    end
    if is_plain(metadata) then
        tree:append_text(", plain")
        show_plain(region, tree, metadata)
    elseif metadata.submit_mode or metadata.payload_kind_bitmap ~= 0 or metadata.payload_frame_count ~= 0 then
        tree:append_text(", composed")
        show_composed(region, tree, metadata)
    end
end

bodies.FRAME_SUBMIT = show_frame
bodies.RESULT_PUSH = show_frame

-- Packets.

local function show_body(tvb, tree, header, name, metadata)
    local region = reader(tvb, HEADER_LENGTH + header.meta_len, header.body_len)
    if header.body_len == 0 then
        return
    end
    local body = branch(tree, region, "body, " .. header.body_len .. " bytes")
    if bodies[name] and (metadata or not METADATA[name]) then
        bodies[name](region, body, metadata)
    end
    region:rest(body, "bytes")
end

-- What the packet list says about a packet.
local function summary(name, header)
    local text = name
    for _, id in ipairs({ "session", "frame", "view" }) do
        if header[id .. "_id"] ~= 0 then
            text = text .. " " .. id .. "=" .. header[id .. "_id"]
        end
    end
    return text
end

local function show_packet(tvb, pinfo, tree)
    local root = tree:add(nnrp, tvb())
    local region = reader(tvb, 0, HEADER_LENGTH)
    local header = show_layout(region, branch(root, region, "header"), LAYOUTS.header)
    if not header then
        return
    end
    if tvb:range(0, 4):string() ~= MAGIC then
        refuse(root, "R-HDR-1", "this is no NNRP packet")
        pinfo.cols.info:append("no NNRP packet" .. INFO_GAP)
        return
    end
    local name = ENUMS.MessageType[header.msg_type]
    if not name then
        refuse(root, "R-HDR-4", header.msg_type .. " is not a valid MessageType")
        name = string.format("message 0x%02x", header.msg_type)
    end
    local text = summary(name, header)
    root:append_text(", " .. text)
    pinfo.cols.info:append(text .. INFO_GAP)

    local layout, metadata = LAYOUTS[METADATA[name]], nil
    local part = reader(tvb, HEADER_LENGTH, header.meta_len)
    if header.meta_len ~= (layout and layout.length or 0) and ENUMS.MessageType[header.msg_type] then
        refuse(root, "R-PKT-1", "meta_len is not the size of the message's metadata")
    end
    if part:remaining() > 0 then
        local subtree = branch(root, part, "metadata")
        if layout then
            metadata = show_layout(part, subtree, layout)
        end
        part:rest(subtree, "bytes")
    end
    show_body(tvb, root, header, name, metadata)
end

local function packet_length(tvb, _, offset)
    local meta_len = tvb:range(offset + 12, 4):le_uint()
    local body_len = tvb:range(offset + 16, 4):le_uint()
    return math.min(HEADER_LENGTH + meta_len + body_len, MAX_PACKET_LENGTH)
end

local function show_stream(tvb, pinfo, tree)
    pinfo.cols.protocol = "NNRP"
    pinfo.cols.info = ""
    dissect_tcp_pdus(tvb, tree, HEADER_LENGTH, packet_length, function(pdu, info, branches)
        show_packet(pdu, info, branches)
        return pdu:len()
    end)
    return tvb:len()
end

nnrp.dissector = show_stream

-- Finding connections.

local function looks_like_nnrp(tvb, pinfo, tree)
    if tvb:len() < 8 or tvb:range(0, 4):string() ~= MAGIC or tvb:range(7, 1):uint() ~= HEADER_LENGTH then
        return false
    end
    pinfo.conversation = nnrp
    -- Called as it is: by way of nnrp.dissector, Wireshark would count one layer more and not reassemble.
    show_stream(tvb, pinfo, tree)
    return true
end

nnrp:register_heuristic("tcp", looks_like_nnrp)

nnrp.prefs.port = Pref.uint("TCP port", 0, "Take everything on this port for NNRP; 0 for none. Other ports are recognised.")
local ports = DissectorTable.get("tcp.port")
local current_port = 0

function nnrp.prefs_changed()
    if current_port ~= 0 then
        ports:remove(current_port, nnrp)
    end
    current_port = nnrp.prefs.port
    if current_port ~= 0 then
        ports:add(current_port, nnrp)
    end
end
