// SPDX-License-Identifier: MIT
#include "gateway.hpp"

#include <algorithm>
#include <span>
#include <utility>

#include "addon_data.hpp"
#include "bsd_stack.hpp"
#include "gateway_values.hpp"
#include "links.hpp"
#include "network.hpp"
#include "socket.hpp"
#include "values.hpp"

namespace vpollnet::binding {

namespace {

/// Numbers of flows and forwards, which JavaScript has as doubles; 0, which none has, for others.
std::uint64_t id_of(const Napi::Value& value) {
  const double number = value.As<Napi::Number>().DoubleValue();
  return number >= 1 && number <= 9007199254740991.0 ? static_cast<std::uint64_t>(number) : 0;
}

}  // namespace

Napi::Function NativeGateway::define(Napi::Env env) {
  return DefineClass(env, "NativeGateway",
                     {
                         InstanceMethod<&NativeGateway::set_rules>("setRules"),
                         InstanceMethod<&NativeGateway::take_events>("takeEvents"),
                         InstanceMethod<&NativeGateway::tell_flows>("tellFlows"),
                         InstanceMethod<&NativeGateway::keep_alive>("keepAlive"),
                         InstanceMethod<&NativeGateway::decide_all>("decideAll"),
                         InstanceMethod<&NativeGateway::take>("take"),
                         InstanceMethod<&NativeGateway::kill>("kill"),
                         InstanceMethod<&NativeGateway::flows_after>("flowsAfter"),
                         InstanceMethod<&NativeGateway::counters>("counters"),
                         InstanceMethod<&NativeGateway::add_forward>("addForward"),
                         InstanceMethod<&NativeGateway::remove_forward>("removeForward"),
                         InstanceMethod<&NativeGateway::forwards>("forwards"),
                         InstanceMethod<&NativeGateway::close>("close"),
                     });
}

NativeGateway::NativeGateway(const Napi::CallbackInfo& info)
    : Napi::ObjectWrap<NativeGateway>(info), resources_(addon_data(info.Env()).resources) {
  const Napi::Env env = info.Env();
  on_events_ = Napi::Persistent(info[3].As<Napi::Function>());
  uv_loop_s* loop = nullptr;
  int error = 0;
  if (napi_get_uv_event_loop(env, &loop) != napi_ok) error = EINVAL;
  if (error == 0) {
    wake_ = LoopWake::open(
        resources_, loop, [](void* self) { static_cast<NativeGateway*>(self)->on_events(); }, this,
        error);
  }
  host::Failure failure{static_cast<Errno>(error), "", ""};
  std::shared_ptr<host::Gateway> opened;
  try {
    if (!failure) opened = open(info, failure);
  } catch (...) {
    if (wake_ != nullptr) wake_->close();
    throw;
  }
  if (opened == nullptr) {
    if (wake_ != nullptr) wake_->close();
    info.This().As<Napi::Object>().Set("failure", failure_value(env, failure));
    return;
  }
  gateway_ = std::move(opened);
  resources_->add(gateway_);
  // Until it is closed the object must not be collected: libuv holds a pointer to it.
  Ref();
  referenced_ = true;
  gateway_->set_waker(wake_);
  wake_->wake();  // for what came before somebody could be woken
}

NativeGateway::~NativeGateway() {
  if (gateway_ != nullptr) close_now();
}

std::shared_ptr<host::Gateway> NativeGateway::open(const Napi::CallbackInfo& info,
                                                   host::Failure& failure) {
  const AddonData& data = addon_data(info.Env());
  const auto from = info[0].As<Napi::Object>();
  const auto to = info[1].As<Napi::Object>();
  const auto config = to_gateway_config(info[2].As<Napi::Object>());
  const bool to_network = to.InstanceOf(data.network_class.Value());
  if (!config || !from.InstanceOf(data.network_class.Value()) ||
      !(to_network || to.InstanceOf(data.bsd_stack_class.Value()))) {
    failure = {Errno::invalid, "", ""};
    return nullptr;
  }
  const auto& network = NativeNetwork::Unwrap(from)->network();
  if (to_network) {
    return host::Gateway::open(network, NativeNetwork::Unwrap(to)->network(), *config, failure);
  }
  return host::Gateway::open(network, NativeBsdStack::Unwrap(to)->stack(), *config, failure);
}

/// setRules(rules, otherwise): 0, or -errno.
Napi::Value NativeGateway::set_rules(const Napi::CallbackInfo& info) {
  auto rules = to_gateway_rules(info[0]);
  const auto otherwise = to_verdict(info[1]);
  if (!rules || !otherwise) return errno_value(info.Env(), Errno::invalid);
  return errno_value(info.Env(), gateway_->set_rules(std::move(*rules), *otherwise));
}

/// takeEvents(limit): up to so many. Where it gives any, onEvents is called again.
Napi::Value NativeGateway::take_events(const Napi::CallbackInfo& info) {
  if (next_event_ == events_.size()) {
    events_ = gateway_->take_events();
    next_event_ = 0;
  }
  const std::size_t count =
      std::min<std::size_t>(info[0].As<Napi::Number>().Uint32Value(), events_.size() - next_event_);
  const std::span taken = std::span(events_).subspan(next_event_, count);
  next_event_ += count;
  // Also when these were the last here: the gateway's own wake-up may have come while there were
  // others.
  if (count > 0) wake_->wake();
  return events_value(info.Env(), taken);
}

Napi::Value NativeGateway::tell_flows(const Napi::CallbackInfo& info) {
  gateway_->tell_flows(info[0].As<Napi::Boolean>());
  return info.Env().Undefined();
}

/// keepAlive(on): whether the event loop goes on because of this gateway.
Napi::Value NativeGateway::keep_alive(const Napi::CallbackInfo& info) {
  wake_->keep_alive(info[0].As<Napi::Boolean>());
  return info.Env().Undefined();
}

/// decideAll([id, verdict, target or null][])
Napi::Value NativeGateway::decide_all(const Napi::CallbackInfo& info) {
  const auto given = info[0].As<Napi::Array>();
  std::vector<std::pair<host::FlowId, host::Decision>> decisions;
  for (std::uint32_t i = 0; i < given.Length(); i++) {
    const Napi::HandleScope scope(info.Env());
    const auto one = given.Get(i).As<Napi::Array>();
    const auto verdict = to_verdict(one.Get(1u));
    auto target = to_flow_target(one.Get(2u));
    if (!verdict || !target) continue;
    decisions.push_back({id_of(one.Get(0u)), {*verdict, std::move(*target)}});
  }
  gateway_->decide_all(decisions);
  return info.Env().Undefined();
}

/// take(id): a NativeSocket, or -errno.
Napi::Value NativeGateway::take(const Napi::CallbackInfo& info) {
  auto taken = gateway_->take(id_of(info[0]));
  if (!taken) return errno_value(info.Env(), taken.error());
  return NativeSocket::make(info.Env(), std::move(*taken));
}

Napi::Value NativeGateway::kill(const Napi::CallbackInfo& info) {
  return Napi::Boolean::New(info.Env(), gateway_->kill(id_of(info[0])));
}

/// flowsAfter(id, limit)
Napi::Value NativeGateway::flows_after(const Napi::CallbackInfo& info) {
  const std::size_t limit = info[1].As<Napi::Number>().Uint32Value();
  return flows_value(info.Env(), gateway_->flows_after(id_of(info[0]), limit));
}

Napi::Value NativeGateway::counters(const Napi::CallbackInfo& info) {
  return gateway_counters_value(info.Env(), gateway_->counters());
}

/// addForward(spec): its id, or [errno, syscall, detail].
Napi::Value NativeGateway::add_forward(const Napi::CallbackInfo& info) {
  const auto spec = to_forward_spec(info[0].As<Napi::Object>());
  host::ForwardId id = 0;
  const host::Failure failure =
      spec ? gateway_->add_forward(*spec, id) : host::Failure{Errno::invalid, "", ""};
  if (failure) return failure_value(info.Env(), failure);
  return number_value(info.Env(), id);
}

Napi::Value NativeGateway::remove_forward(const Napi::CallbackInfo& info) {
  const auto id = static_cast<host::ForwardId>(id_of(info[0]));
  return Napi::Boolean::New(info.Env(), gateway_->remove_forward(id));
}

/// forwards(): id, port (0: of a path) and flows of each.
Napi::Value NativeGateway::forwards(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return object_array(env, gateway_->forwards(),
                      [&](Napi::Object& object, const host::ForwardInfo& forward) {
                        object["id"] = number_value(env, forward.id);
                        object["port"] = number_value(env, forward.spec.listen.endpoint.port);
                        object["flows"] = number_value(env, forward.flows);
                      });
}

Napi::Value NativeGateway::close(const Napi::CallbackInfo& info) {
  close_now();
  if (std::exchange(referenced_, false)) Unref();
  return info.Env().Undefined();
}

void NativeGateway::close_now() {
  wake_->close();
  gateway_->close();
  resources_->remove(gateway_);
}

void NativeGateway::on_events() {
  const Napi::Env env = Env();
  const Napi::HandleScope scope(env);
  const napi_status status =
      napi_make_callback(env, nullptr, Value(), on_events_.Value(), 0, nullptr, nullptr);
  napi_value exception = nullptr;
  if (status == napi_pending_exception &&
      napi_get_and_clear_last_exception(env, &exception) == napi_ok) {
    // Ends as an exception in any callback of the event loop does: 'uncaughtException'.
    napi_fatal_exception(env, exception);
  }
}

}  // namespace vpollnet::binding
