package io.kappalakehouse.validator;

import io.kappalakehouse.Resources;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;

/** The contracts that {@code lakehouse.contracts.events} declares, from the resource that the build exports. */
public final class Contracts {

  static final int MAX_VALUE_BYTES;
  static final int MAX_ID_BYTES;
  static final int MAX_DEPTH;
  static final long MAX_CLOCK_SKEW_MS;
  static final long EARLIEST_MS;
  static final long LATEST_MS;
  private static final Map<String, Contract> BY_TOPIC = new LinkedHashMap<>();

  static {
    Map<?, ?> exported = StrictJson.parseObject(Resources.read("/contracts.json"), 64);
    MAX_VALUE_BYTES = number(exported, "max_value_bytes").intValue();
    MAX_ID_BYTES = number(exported, "max_id_bytes").intValue();
    MAX_DEPTH = number(exported, "max_depth").intValue();
    MAX_CLOCK_SKEW_MS = number(exported, "max_clock_skew_ms");
    EARLIEST_MS = WireTime.parse((String) exported.get("earliest_time"));
    LATEST_MS = WireTime.parse((String) exported.get("latest_time"));
    for (Object topic : (List<?>) exported.get("topics")) {
      Contract contract = contract((Map<?, ?>) topic);
      BY_TOPIC.put(contract.topic(), contract);
    }
  }

  private Contracts() {}

  /** All contracts, in the order of their declaration. */
  public static List<Contract> all() {
    return List.copyOf(BY_TOPIC.values());
  }

  /**
   * The contract of a topic, named without namespace.
   *
   * @throws IllegalArgumentException if no contract declares it
   */
  public static Contract of(String topic) {
    Contract contract = BY_TOPIC.get(topic);
    if (contract == null) {
      throw new IllegalArgumentException("unknown topic " + topic + "; known topics: " + BY_TOPIC.keySet());
    }
    return contract;
  }

  private static Contract contract(Map<?, ?> exported) {
    List<Field> fields = new ArrayList<>();
    for (Object each : (List<?>) exported.get("fields")) {
      Map<?, ?> field = (Map<?, ?>) each;
      List<String> allowed = ((List<?>) field.get("allowed")).stream().map(String.class::cast).toList();
      fields.add(
          new Field(
              (String) field.get("name"),
              Field.Kind.valueOf(((String) field.get("kind")).toUpperCase(Locale.ROOT)),
              (Boolean) field.get("nullable"),
              allowed,
              number(field, "minimum"),
              number(field, "maximum"),
              (Boolean) field.get("not_after_arrival")));
    }
    return new Contract((String) exported.get("topic"), (String) exported.get("key"), List.copyOf(fields));
  }

  private static Long number(Map<?, ?> object, String name) {
    return (Long) object.get(name);
  }
}
