//! Dependency generators that no script of the base's serves: Lua, run by rpmbuild itself.
//!
//! (`%define` eats backslashes: the line break is `string.char(10)`.)

use std::fmt::Write as _;

/// Writes every generator.
pub(super) fn write(spec: &mut String) {
    let _ = write!(spec, "{CMAKE_AND_DEBUGINFO}{PYTHON}{PYTHON_DISTRIBUTIONS}");
}

/// `cmake(NAME)`, in the file's spelling and in lower case, with the version that the
/// `…ConfigVersion.cmake` beside it states; `debuginfo(build-id)` from the link's own name.
const CMAKE_AND_DEBUGINFO: &str = r#"%define __kiln_cmake_provides() %{lua:
  local file = rpm.expand("%1")
  local directory, base = file:match("^(.*)/([^/]+)$")
  local name = base:match("^(.+)Config%.cmake$") or base:match("^(.+)-config%.cmake$")
  local version
  for _, suffix in ipairs({ "ConfigVersion.cmake", "-config-version.cmake", "Config-version.cmake" }) do
    local stream = io.open(directory .. "/" .. name .. suffix)
    if stream and not version then
      for line in stream:lines() do
        version = version or line:match('^%s*set%s*%(%s*PACKAGE_VERSION%s+"?([%w.+~_]+)"?%s*%)')
      end
    end
    if stream then stream:close() end
  end
  local suffix = version and (" = " .. version) or ""
  print("cmake(" .. name .. ")" .. suffix .. string.char(10))
  if name:lower() ~= name then
    print("cmake(" .. name:lower() .. ")" .. suffix .. string.char(10))
  end
}
%define __kiln_debuginfo_provides() %{lua:
  local head, tail = rpm.expand("%1"):match("/(%x+)/(%x+)%.debug$")
  print("debuginfo(build-id) = " .. head .. tail .. string.char(10))
}
"#;

/// `python(abi)`: what a module below an interpreter's folder needs.
const PYTHON: &str = r#"%define __kiln_python_requires() %{lua:
  local abi = rpm.expand("%1"):match("/usr/lib%d*/python(%d+%.%d+)/")
  if abi then print("python(abi) = " .. abi .. string.char(10)) end
}
"#;

/// `pythonX.Ydist(NAME)` of a distribution's metadata (PEP 566, PEP 508; the spelling of Fedora's
/// Python guidelines). What is only for an extra, or for another system than Linux with CPython, is
/// no requirement; any other marker is taken as true, so that nothing needed is missing.
const PYTHON_DISTRIBUTIONS: &str = r#"%define __kiln_pythondist_read() %{lua:
  local mode, path = rpm.expand("%1"), rpm.expand("%2")
  local abi = path:match("/usr/lib%d*/python(%d+%.%d+)/")
  local break_ = string.char(10)
  local function normal(name) return (name:lower():gsub("[-_.]+", "-")) end
  local function numbers(text)
    local list = {}
    for number in text:gmatch("%d+") do list[#list + 1] = tonumber(number) end
    return list
  end
  local function compare(left, right)
    local a, b = numbers(left), numbers(right)
    for i = 1, math.max(#a, #b) do
      local x, y = a[i] or 0, b[i] or 0
      if x ~= y then return x < y and -1 or 1 end
    end
    return 0
  end
  local function version(text)
    text = text:lower():gsub("^v", ""):gsub("%+.*$", "")
    text = text:gsub("[-_.]?post", "^post"):gsub("[-_.]?dev", "~~dev")
    text = text:gsub("[-_.]?alpha", "a"):gsub("[-_.]?beta", "b")
    text = text:gsub("[-_.]?r?c(%d)", function(number) return "rc" .. number end)
    return (text:gsub("(%d)[-_.]?([abrc]+)(%d)", function(before, kind, after)
      return before .. "~" .. kind .. after
    end))
  end
  local holds = { ["<"] = function(c) return c < 0 end, ["<="] = function(c) return c <= 0 end,
    [">"] = function(c) return c > 0 end, [">="] = function(c) return c >= 0 end,
    ["=="] = function(c) return c == 0 end, ["!="] = function(c) return c ~= 0 end }
  local here = { sys_platform = "linux", os_name = "posix", platform_system = "Linux",
    platform_python_implementation = "CPython", implementation_name = "cpython" }
  local function clause(text)
    if text:match("extra%s*==") then return false end
    local name, operator, value = text:match("([%a_]+)%s*([<>=!]+)%s*['" .. string.char(34) .. "]([^'" .. string.char(34) .. "]*)")
    if not name or not holds[operator] then return true end
    if name == "python_version" or name == "python_full_version" then
      return holds[operator](compare(abi, value))
    end
    if here[name] and operator == "==" then return here[name] == value end
    if here[name] and operator == "!=" then return here[name] ~= value end
    return true
  end
  local function applies(marker)
    for alternative in (marker:gsub("%s+or%s+", break_) .. break_):gmatch("([^" .. break_ .. "]*)" .. break_) do
      local all = true
      for part in (alternative:gsub("%s+and%s+", break_) .. break_):gmatch("([^" .. break_ .. "]*)" .. break_) do
        all = all and clause(part)
      end
      if all then return true end
    end
    return false
  end
  local function next_of(text)
    local head, last = text:match("^(.-)(%d+)$")
    return head .. tostring(tonumber(last) + 1)
  end
  local function condition(name, operator, text)
    local prefix = text:match("^(.*)%.%*$")
    if prefix and operator == "==" then
      return "(" .. name .. " >= " .. prefix .. " with " .. name .. " < " .. next_of(prefix) .. "~~)"
    elseif prefix and operator == "!=" then
      return "(" .. name .. " < " .. prefix .. " or " .. name .. " >= " .. next_of(prefix) .. ")"
    end
    local value = version(text)
    if operator == "~=" then
      local upper = text:match("^(.*)%.[^.]*$")
      return "(" .. name .. " >= " .. value .. " with " .. name .. " < " .. next_of(upper) .. "~~)"
    elseif operator == "!=" then
      return "(" .. name .. " < " .. value .. " or " .. name .. " > " .. value .. ")"
    elseif operator == "==" or operator == "===" then
      return name .. " = " .. value
    end
    return name .. " " .. operator .. " " .. value
  end
  local stream = abi and io.open(path)
  if stream then
    local fields, requires = {}, {}
    for line in stream:lines() do
      if line:match("^%s*$") then break end
      local key, value = line:match("^([%a-]+):%s*(.-)%s*$")
      if key == "Requires-Dist" then requires[#requires + 1] = value
      elseif key and not fields[key] then fields[key] = value end
    end
    stream:close()
    if mode == "provides" and fields.Name and fields.Version then
      for _, python in ipairs({ abi, abi:match("^%d+") }) do
        print("python" .. python .. "dist(" .. normal(fields.Name) .. ") = " .. version(fields.Version) .. break_)
      end
    elseif mode == "requires" then
      for _, line in ipairs(requires) do
        local need, marker = line:match("^([^;]*);?(.*)$")
        local name, rest = need:match("^%s*([%w._-]+)%s*(.-)%s*$")
        rest = rest:gsub("^%[[^%]]*%]", ""):gsub("[()]", "")
        if name and (marker == "" or applies(marker)) then
          local dist = "python" .. abi .. "dist(" .. normal(name) .. ")"
          local all = {}
          for operator, text in rest:gmatch("([<>=!~]+)%s*([^%s,]+)") do
            all[#all + 1] = condition(dist, operator, text)
          end
          if #all == 0 then all[1] = dist end
          if #all > 1 then print("(" .. table.concat(all, " with ") .. ")" .. break_)
          else print(all[1] .. break_) end
        end
      end
    end
  end
}
%define __kiln_pythondist_provides() %{__kiln_pythondist_read provides %1}
%define __kiln_pythondist_requires() %{__kiln_pythondist_read requires %1}
"#;
