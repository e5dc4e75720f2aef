// SPDX-License-Identifier: MIT
#include "bsd_stack.hpp"

#include <string>
#include <utility>
#include <vector>

#include "addon_data.hpp"
#include "links.hpp"
#include "socket.hpp"
#include "values.hpp"

namespace vpollnet::binding {

namespace {

std::string text_of(const Napi::Object& object, const char* name) {
  return object.Get(name).As<Napi::String>().Utf8Value();
}

std::vector<std::string> list_of(const Napi::Object& object, const char* name) {
  const Napi::Array array = object.Get(name).As<Napi::Array>();
  std::vector<std::string> result;
  for (std::uint32_t i = 0; i < array.Length(); i++) {
    result.push_back(array.Get(i).As<Napi::String>().Utf8Value());
  }
  return result;
}

/// False for an address that is none.
bool to_links(const Napi::Object& object, std::vector<host::PluginLink>& links) {
  const Napi::Array array = object.Get("links").As<Napi::Array>();
  for (std::uint32_t i = 0; i < array.Length(); i++) {
    const Napi::Object given = array.Get(i).As<Napi::Object>();
    host::PluginLink link{.locator = text_of(given, "url"),
                          .configured = given.Get("configured").As<Napi::Boolean>(),
                          .addresses = {},
                          .gateways = {}};
    for (const std::string& text : list_of(given, "addresses")) {
      const auto address = Cidr::parse(text);
      if (!address) return false;
      link.addresses.push_back(*address);
    }
    for (const std::string& text : list_of(given, "gateways")) {
      const auto gateway = IpAddress::parse(text);
      if (!gateway) return false;
      link.gateways.push_back(*gateway);
    }
    links.push_back(std::move(link));
  }
  return true;
}

}  // namespace

Napi::Function NativeBsdStack::define(Napi::Env env) {
  return DefineClass(env, "NativeBsdStack",
                     {
                         InstanceMethod<&NativeBsdStack::socket>("socket"),
                         InstanceMethod<&NativeBsdStack::interface_index>("interfaceIndex"),
                         InstanceMethod<&NativeBsdStack::close>("close"),
                     });
}

NativeBsdStack::NativeBsdStack(const Napi::CallbackInfo& info)
    : Napi::ObjectWrap<NativeBsdStack>(info), resources_(addon_data(info.Env()).resources) {
  if (info.Length() == 0) {
    stack_ = host::BsdStack::open_kernel();
  } else {
    const auto given = info[0].As<Napi::Object>();
    host::PluginRequest request{.name = text_of(given, "name"),
                                .home = text_of(given, "home"),
                                .links = {},
                                .options = text_of(given, "options"),
                                .licences = list_of(given, "licenses")};
    const host::Failure failure = to_links(given, request.links)
                                      ? host::BsdStack::load(request, stack_)
                                      : host::Failure{Errno::invalid, "load", ""};
    auto self = info.This().As<Napi::Object>();
    if (failure) {
      self.Set("failure", failure_value(info.Env(), failure));
      return;
    }
    self.Set("path", stack_->plugin_path());
    self.Set("license", stack_->plugin_licence());
  }
  resources_->add(stack_);
}

NativeBsdStack::~NativeBsdStack() {
  if (stack_ == nullptr) return;
  stack_->close();
  resources_->remove(stack_);
}

Napi::Value NativeBsdStack::socket(const Napi::CallbackInfo& info) {
  const auto type = to_socket_type(info[0]);
  if (!type) return errno_value(info.Env(), Errno::invalid);
  auto opened = stack_->socket(*type);
  if (!opened) return errno_value(info.Env(), opened.error());
  return NativeSocket::make(info.Env(), std::move(*opened));
}

Napi::Value NativeBsdStack::interface_index(const Napi::CallbackInfo& info) {
  const auto index = stack_->interface_index(info[0].As<Napi::String>().Utf8Value());
  if (!index) return errno_value(info.Env(), index.error());
  return number_value(info.Env(), *index);
}

Napi::Value NativeBsdStack::close(const Napi::CallbackInfo& info) {
  const Errno error = stack_->close();
  resources_->remove(stack_);
  return errno_value(info.Env(), error);
}

}  // namespace vpollnet::binding
