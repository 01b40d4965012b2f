package io.kappalakehouse.flink.fraud;

import io.kappalakehouse.flink.AfterCheckpoint;
import java.time.Duration;
import org.apache.flink.api.common.state.MapState;
import org.apache.flink.api.common.state.MapStateDescriptor;
import org.apache.flink.api.common.state.StateTtlConfig;
import org.apache.flink.api.common.state.ValueState;
import org.apache.flink.api.common.state.ValueStateDescriptor;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.runtime.state.StateInitializationContext;
import org.apache.flink.runtime.state.StateSnapshotContext;
import org.apache.flink.runtime.state.VoidNamespace;
import org.apache.flink.runtime.state.VoidNamespaceSerializer;
import org.apache.flink.streaming.api.operators.AbstractStreamOperator;
import org.apache.flink.streaming.api.operators.InternalTimer;
import org.apache.flink.streaming.api.operators.InternalTimerService;
import org.apache.flink.streaming.api.operators.OneInputStreamOperator;
import org.apache.flink.streaming.api.operators.Triggerable;
import org.apache.flink.streaming.runtime.streamrecord.StreamRecord;
import org.apache.flink.util.OutputTag;

/**
 * By user: decides about each transaction once, at the moment it comes, from those that have come until then.
 *
 * <p>What was said is never changed: a late transaction is decided in its place of the order, and those after it that were
 * decided without it stay as they are. What is true once all have come is for the tables to say.
 *
 * <p><b>State.</b> The rule looks back 2 h, and one more hour is kept for late transactions, so {@link #KEEP_MS} behind
 * the user's newest. What falls behind that is dropped as newer ones come, and of a user who stays away by a timer, once
 * the watermark is {@link #KEEP_MS} past both his newest transaction and the watermark at which he was last seen. By event
 * time: one by processing time would be overdue for every user when a job goes on after a long stop, just before it
 * reads what they did meanwhile. Where no watermark comes, the TTL {@code idle} takes the state.
 *
 * <p>A transaction that is later still is decided by what is left and says so: {@code newest} outlives the rest, and a
 * user whose transactions are gone has forgotten all of them up to it. The identities of those seen and {@code newest}
 * are remembered for {@code remember}; after as long without any, a copy is decided as if it were new. That is as long as
 * Kafka keeps transactions.
 *
 * <p>Emits decisions, and those that flag or block once more to {@link #ALERTS}, {@link AfterCheckpoint}: alerts then say what
 * the table of decisions says, for both hold what a complete checkpoint holds, whatever else a restore computes anew.
 */
class FraudOperator extends AbstractStreamOperator<Decision>
    implements OneInputStreamOperator<Transaction, Decision>, Triggerable<String, VoidNamespace> {

  static final OutputTag<Decision> ALERTS = new OutputTag<>("alerts", Types.POJO(Decision.class));

  static final long KEEP_MS = RecentTransactions.REACH_MS + 60 * 60_000L;

  private static final long serialVersionUID = 1L;

  private final Duration idle;
  private final Duration remember;

  private transient ValueState<RecentTransactions> recent;
  private transient ValueState<Long> newest;
  private transient MapState<String, Boolean> seen;
  private transient InternalTimerService<VoidNamespace> timers;
  private transient AfterCheckpoint<Decision> alerts;

  /**
   * @param idle TTL, in processing time, of a user's transactions
   * @param remember TTL of what tells copies and forgotten transactions; longer than {@code idle}
   */
  FraudOperator(Duration idle, Duration remember) {
    if (remember.compareTo(idle) <= 0) {
      throw new IllegalArgumentException("a user must be remembered longer than " + idle + ", not " + remember);
    }
    this.idle = idle;
    this.remember = remember;
  }

  @Override
  public void initializeState(StateInitializationContext context) throws Exception {
    super.initializeState(context);
    var states = context.getKeyedStateStore();
    var recentOf = new ValueStateDescriptor<>("recent", Types.POJO(RecentTransactions.class));
    recentOf.enableTimeToLive(StateTtlConfig.newBuilder(idle).build());
    recent = states.getState(recentOf);
    var newestOf = new ValueStateDescriptor<>("newest", Types.LONG);
    newestOf.enableTimeToLive(StateTtlConfig.newBuilder(remember).build());
    newest = states.getState(newestOf);
    var seenOf = new MapStateDescriptor<>("seen", Types.STRING, Types.BOOLEAN);
    seenOf.enableTimeToLive(StateTtlConfig.newBuilder(remember).build());
    seen = states.getMapState(seenOf);
    alerts = AfterCheckpoint.initializeState(context, "undelivered-alerts", ALERTS, output);
  }

  @Override
  public void open() throws Exception {
    super.open();
    timers = getInternalTimerService("expiry", VoidNamespaceSerializer.INSTANCE, this);
    alerts.open(getProcessingTimeService());
  }

  @Override
  public void processElement(StreamRecord<Transaction> element) throws Exception {
    Transaction transaction = element.getValue();
    if (seen.contains(transaction.identity())) {
      return;
    }
    seen.put(transaction.identity(), true);

    Long newestBefore = newest.value();
    RecentTransactions held = recent.value();
    if (held == null) {
      held = new RecentTransactions();
      held.forgottenUntil = newestBefore == null ? Long.MIN_VALUE : newestBefore;
    }
    Decision decision = held.decide(transaction);
    decision.decidedAt = getProcessingTimeService().getCurrentProcessingTime();

    long newestNow = newestBefore == null ? transaction.eventTime : Math.max(newestBefore, transaction.eventTime);
    newest.update(newestNow);
    held.forgetUntil(newestNow - KEEP_MS);
    renewTimer(held, Math.max(newestNow, timers.currentWatermark()) + KEEP_MS);
    recent.update(held);

    output.collect(new StreamRecord<>(decision));
    if (decision.flagged || decision.blocked) {
      alerts.add(decision);
    }
  }

  private void renewTimer(RecentTransactions held, long expiresAt) {
    if (expiresAt != held.expiresAt) {
      timers.deleteEventTimeTimer(VoidNamespace.INSTANCE, held.expiresAt);
      timers.registerEventTimeTimer(VoidNamespace.INSTANCE, expiresAt);
      held.expiresAt = expiresAt;
    }
  }

  @Override
  public void onEventTime(InternalTimer<String, VoidNamespace> timer) throws Exception {
    RecentTransactions held = recent.value();
    // Where the TTL was quicker, the timer of what it took is still there.
    if (held != null && held.expiresAt == timer.getTimestamp()) {
      recent.clear();
    }
  }

  @Override
  public void onProcessingTime(InternalTimer<String, VoidNamespace> timer) {
    throw new IllegalStateException("no timer by processing time was registered");
  }

  @Override
  public void snapshotState(StateSnapshotContext context) throws Exception {
    super.snapshotState(context);
    alerts.snapshotState(context);
  }

  @Override
  public void notifyCheckpointComplete(long checkpointId) throws Exception {
    super.notifyCheckpointComplete(checkpointId);
    alerts.notifyCheckpointComplete(checkpointId);
  }
}
