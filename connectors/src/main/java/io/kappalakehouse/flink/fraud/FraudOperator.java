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
 * reads what they did meanwhile. Where no watermark comes, the state goes {@code idle} after his last one came; by a timer
 * too, as a TTL would take the pages of a {@link TransactionTree} one by one, by when each was written.
 *
 * <p>What a transaction costs does not grow with how many are held (by the logarithm alone): the rule is answered from
 * a few pages, and what is forgotten at once is taken out by and by.
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

  static final long KEEP_MS = FraudRule.REACH_MS + 60 * 60_000L;

  /** Pages that go with each newer transaction, which adds one at most: so that none has to take out many at once. */
  private static final int DROPPED_PAGES = 2;

  private static final long serialVersionUID = 1L;

  private final Duration idle;
  private final Duration remember;

  private transient ValueState<HeldTransactions> held;
  private transient MapState<Long, Page> pages;
  private transient ValueState<RecentTransactions> recent;
  private transient ValueState<Long> newest;
  private transient MapState<String, Boolean> seen;
  private transient InternalTimerService<VoidNamespace> timers;
  private transient AfterCheckpoint<Decision> alerts;

  /**
   * @param idle how long, in processing time, a user's transactions are held after the last one
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
    held = states.getState(new ValueStateDescriptor<>("held", Types.POJO(HeldTransactions.class)));
    pages = states.getMapState(new MapStateDescriptor<>("pages", Types.LONG, Types.POJO(Page.class)));
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

    long now = getProcessingTimeService().getCurrentProcessingTime();
    Long newestBefore = newest.value();
    HeldTransactions user = load(now, newestBefore);
    TransactionTree tree = new TransactionTree(user, new StatePages());
    long forgotten = newestBefore == null ? Long.MIN_VALUE : newestBefore - KEEP_MS;
    Decision decision = new FraudRule(tree, forgotten).decide(transaction);
    decision.stateComplete = transaction.eventTime - FraudRule.REACH_MS >= user.forgottenUntil;
    decision.decidedAt = now;

    long newestNow = newestBefore == null ? transaction.eventTime : Math.max(newestBefore, transaction.eventTime);
    newest.update(newestNow);
    forget(user, tree, transaction, newestNow - KEEP_MS);
    renewTimers(user, Math.max(newestNow, timers.currentWatermark()) + KEEP_MS, now);
    tree.write();
    held.update(user);

    output.collect(new StreamRecord<>(decision));
    if (decision.flagged || decision.blocked) {
      alerts.add(decision);
    }
  }

  private HeldTransactions load(long now, Long newestBefore) throws Exception {
    HeldTransactions user = held.value();
    if (user != null && isIdle(user, now)) {
      clear(user); // Its timer is due.
      user = null;
    }
    if (user == null) {
      user = restored();
    }
    if (user == null) {
      user = new HeldTransactions();
      user.forgottenUntil = newestBefore == null ? Long.MIN_VALUE : newestBefore;
    }
    return user;
  }

  /** What a savepoint of an earlier version holds of a user, when he first comes after it; null if nothing. */
  private HeldTransactions restored() throws Exception {
    RecentTransactions before = recent.value();
    if (before == null) {
      return null;
    }
    HeldTransactions user = new HeldTransactions();
    user.forgottenUntil = before.forgottenUntil;
    user.expiresAt = before.expiresAt;
    TransactionTree tree = new TransactionTree(user, new StatePages());
    for (int i = 0; i < before.times.length; i++) {
      tree.insert(before.times[i], before.ids[i]);
    }
    tree.write();
    recent.clear();
    return user;
  }

  private void forget(HeldTransactions user, TransactionTree tree, Transaction latest, long until) throws Exception {
    if (latest.eventTime <= until) {
      user.forgottenUntil = Math.max(user.forgottenUntil, latest.eventTime);
    }
    long forgotten = tree.countUntil(until);
    if (forgotten > 0) {
      user.forgottenUntil = Math.max(user.forgottenUntil, tree.timeAt(forgotten - 1));
      tree.dropUntil(until, DROPPED_PAGES);
    }
  }

  private void renewTimers(HeldTransactions user, long expiresAt, long now) {
    if (expiresAt != user.expiresAt) {
      timers.deleteEventTimeTimer(VoidNamespace.INSTANCE, user.expiresAt);
      timers.registerEventTimeTimer(VoidNamespace.INSTANCE, expiresAt);
      user.expiresAt = expiresAt;
    }
    user.usedAt = now;
    if (user.idleTimer == Long.MIN_VALUE) {
      renewIdleTimer(user);
    }
  }

  private void renewIdleTimer(HeldTransactions user) {
    user.idleTimer = user.usedAt + idle.toMillis();
    timers.registerProcessingTimeTimer(VoidNamespace.INSTANCE, user.idleTimer);
  }

  private boolean isIdle(HeldTransactions user, long now) {
    return now - user.usedAt >= idle.toMillis();
  }

  private void clear(HeldTransactions user) {
    held.clear();
    if (user.height > 0) {
      pages.clear();
    }
    timers.deleteEventTimeTimer(VoidNamespace.INSTANCE, user.expiresAt);
    timers.deleteProcessingTimeTimer(VoidNamespace.INSTANCE, user.idleTimer);
  }

  @Override
  public void onEventTime(InternalTimer<String, VoidNamespace> timer) throws Exception {
    HeldTransactions user = held.value();
    RecentTransactions before = recent.value();
    // Where a TTL was quicker, in an earlier version, the timer of what it took is still there.
    if (user != null && user.expiresAt == timer.getTimestamp()) {
      clear(user);
    } else if (before != null && before.expiresAt == timer.getTimestamp()) {
      recent.clear();
    }
  }

  /** Once a user's transactions have been held for as long as they may be without another one. */
  @Override
  public void onProcessingTime(InternalTimer<String, VoidNamespace> timer) throws Exception {
    HeldTransactions user = held.value();
    if (isIdle(user, timer.getTimestamp())) {
      clear(user);
    } else {
      renewIdleTimer(user); // He has come since: by a timer per transaction, each would cost two.
      held.update(user);
    }
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

  /** The pages of the user whose transaction is at hand. */
  private final class StatePages implements TransactionTree.Pages {

    @Override
    public Page get(long key) throws Exception {
      return pages.get(key);
    }

    @Override
    public void put(long key, Page page) throws Exception {
      pages.put(key, page);
    }

    @Override
    public void remove(long key) throws Exception {
      pages.remove(key);
    }
  }
}
