-- SPDX-License-Identifier: Apache-2.0
-- Wireshark's fields for the traces of `txpath send --trace N --trace-to FILE.pcapng`: what each
-- packet's comment tells, as txpath.packet, txpath.stage, txpath.result, txpath.reason, txpath.by.
-- Copy it to Wireshark's personal plugins, or: tshark -X lua_script:txpath.lua -r FILE.pcapng
local txpath = Proto("txpath", "The send path")
local fields = {
  packet = ProtoField.uint64("txpath.packet", "Trace"),
  stage = ProtoField.string("txpath.stage", "Stage"),
  result = ProtoField.string("txpath.result", "Result"),
  reason = ProtoField.string("txpath.reason", "Drop reason"),
  by = ProtoField.string("txpath.by", "What decided, what came out"),
}
txpath.fields = fields
local dropped = ProtoExpert.new("txpath.dropped", "Dropped", expert.group.SEQUENCE, expert.severity.WARN)
txpath.experts = { dropped }
local comment = Field.new("frame.comment")

function txpath.dissector(buffer, pinfo, root)
  for _, info in ipairs({ comment() }) do
    local number, stage, rest = tostring(info):match("^packet (%d+), (%S+): (.*)$")
    if number then
      local tree = root:add(txpath, "The send path: " .. stage)
      tree:add(fields.packet, UInt64.new(tonumber(number)))
      tree:add(fields.stage, stage)
      local ended, by = rest:match("^([^;]*); (.*)$")
      local result, reason = (ended or rest):match("^(%S+) ?(%S*)$")
      tree:add(fields.result, result or rest)
      if reason and reason ~= "" then
        tree:add(fields.reason, reason)
        tree:add_proto_expert_info(dropped, "Dropped at " .. stage .. ": " .. reason)
      end
      if by then tree:add(fields.by, by) end
    end
  end
end

register_postdissector(txpath)
