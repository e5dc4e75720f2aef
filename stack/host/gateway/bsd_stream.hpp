// SPDX-License-Identifier: MIT
#pragma once

#include <memory>
#include <vector>

#include "host/gateway/gateway_types.hpp"
#include "host/gateway/stream_end.hpp"
#include "host/gateway/watched_descriptor.hpp"

namespace vpollnet::host {

/// A stream socket of the host's kernel or of a plug-in.
class BsdStream final : public StreamEnd, private PumpSource {
 public:
  /// Begins a connection; with a path, to a Unix socket of the host. EMFILE, ENFILE, and what
  /// socket() and connect() say at once. `owner` and `pump` must outlive it.
  static Result<std::unique_ptr<BsdStream>>
  connect(std::shared_ptr<const BsdCalls> calls, const FlowTarget& to, Pump& pump, EndOwner& owner);
  /// One that a listener has accepted; takes over `fd`.
  static Result<std::unique_ptr<BsdStream>> accepted(std::shared_ptr<const BsdCalls> calls, int fd,
                                                     Pump& pump, EndOwner& owner);

  Errno progress(Nanos now) override;
  Errno failure(Nanos now) override;
  std::size_t room() override { return writable_ ? kStep : 0; }
  Result<std::size_t> peek(std::size_t limit, std::vector<Slice>& out, Nanos now) override;
  void consume(std::size_t count, Nanos now) override;
  Result<std::size_t> write(std::vector<Slice>& slices, Nanos now) override;
  void finish(Nanos now) override;
  void reset(Nanos now) override;

 private:
  static constexpr std::size_t kStep = 512 * 1024;
  /// Bytes of each of the blocks that one read fills.
  static constexpr std::size_t kBlockBytes = 64 * 1024;
  static constexpr std::size_t kBlocks = 8;

  BsdStream(std::shared_ptr<const BsdCalls> calls, int fd, Pump& pump, EndOwner& owner,
            bool connecting)
      : descriptor_(std::move(calls), fd, pump), owner_(owner), connecting_(connecting) {}
  void on_ready(std::uint32_t events) override;
  Errno take_error();
  Result<std::size_t> read(std::size_t limit);

  WatchedDescriptor descriptor_;
  EndOwner& owner_;
  bool connecting_;
  bool readable_ = false;
  bool writable_ = false;
  bool broken_ = false;  ///< EPOLLERR was seen, and SO_ERROR not yet asked
  bool ended_ = false;   ///< the end of the stream is known to come
  bool urgent_ = false;  ///< a read may stop before the urgent byte, with more behind it
  std::size_t wanted_blocks_ = 1;
  std::vector<Slice> held_;  ///< read and not consumed
};

}  // namespace vpollnet::host
