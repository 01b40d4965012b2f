package io.kappalakehouse.flink.delta;

import io.delta.kernel.data.Row;
import io.delta.kernel.defaults.internal.json.JsonUtils;
import io.delta.kernel.internal.actions.SetTransaction;
import io.delta.kernel.internal.actions.SingleAction;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;

/**
 * How far a commit's reader is: numbers by name, each a {@code txn} action of the commit. Of two numbers of a name the
 * higher one counts, as a commit may say each name once.
 */
final class Positions {
  private static final String ACTION = "{\"txn\":";

  private final Map<String, Long> numbers = new TreeMap<>();

  void reach(String name, long number) {
    numbers.merge(name, number, Math::max);
  }

  /** Whether {@code action}, JSON, is a position, which then counts here too. */
  boolean take(String action) {
    if (!action.startsWith(ACTION)) {
      return false;
    }
    Row parsed = JsonUtils.rowFromJson(action, SingleAction.FULL_SCHEMA);
    SetTransaction position = SetTransaction.fromRow(parsed.getStruct(SingleAction.TXN_ORDINAL));
    reach(position.getAppId(), position.getVersion());
    return true;
  }

  /** As actions, JSON; they are forgotten here. */
  List<String> drain() {
    List<String> actions = new ArrayList<>();
    numbers.forEach(
        (name, number) ->
            actions.add(
                JsonUtils.rowToJson(
                    SingleAction.createTxnSingleAction(
                        new SetTransaction(name, number, Optional.empty()).toRow()))));
    numbers.clear();
    return actions;
  }
}
