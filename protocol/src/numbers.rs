//! Every number of the wire, each once: versions, protocols, query types, term types, response types,
//! error types, notes. Knows no bytes and no JSON; a number it does not list does not exist.

/// Declares an enum whose variants carry their wire number, with the way back from a number.
macro_rules! wire_numbers {
    (
        $(#[$meta:meta])*
        $name:ident: $repr:ident { $($(#[$variant_meta:meta])* $variant:ident = $number:literal,)* }
    ) => {
        $(#[$meta])*
        #[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        #[repr($repr)]
        pub enum $name {
            $($(#[$variant_meta])* $variant = $number,)*
        }

        impl $name {
            /// Every variant, in the order of this file.
            pub const ALL: &'static [$name] = &[$($name::$variant,)*];

            /// The variant with this number, if there is one.
            pub fn from_number(number: i64) -> Option<$name> {
                match number {
                    $($number => Some($name::$variant),)*
                    _ => None,
                }
            }

            /// The number that goes over the wire.
            pub const fn number(self) -> $repr {
                self as $repr
            }
        }
    };
}

wire_numbers! {
    /// The first four bytes of a connection, little endian: which handshake the client speaks.
    Version: u32 {
        /// Protobuf only, no authentication; refused.
        V0_1 = 0x3f61_ba36,
        /// Protobuf only, authorization key; refused.
        V0_2 = 0x7230_81e1,
        /// Authorization key, one query at a time.
        V0_3 = 0x5f75_e83e,
        /// Authorization key, queries in parallel.
        V0_4 = 0x400c_2d20,
        /// JSON handshake with SCRAM-SHA-256, queries in parallel.
        V1_0 = 0x34c2_bdc3,
    }
}

wire_numbers! {
    /// How queries are written, named by V0_3 and V0_4 clients; V1_0 always means JSON.
    Protocol: u32 {
        /// Protocol buffers; refused since RethinkDB 2.0.
        Protobuf = 0x271f_fc41,
        /// JSON, the only one spoken.
        Json = 0x7e69_70c7,
    }
}

wire_numbers! {
    /// First element of a query.
    QueryType: u8 {
        /// Run a term.
        Start = 1,
        /// Ask for the next batch of a partial answer.
        Continue = 2,
        /// End a running query.
        Stop = 3,
        /// Wait until every earlier `noreply` query of the connection is done.
        NoreplyWait = 4,
        /// Ask for the server's id and name.
        ServerInfo = 5,
    }
}

wire_numbers! {
    /// Field `t` of a response.
    ResponseType: u8 {
        /// One value.
        SuccessAtom = 1,
        /// The last batch of a sequence.
        SuccessSequence = 2,
        /// A batch of a sequence, with more to come.
        SuccessPartial = 3,
        /// Answer to NOREPLY_WAIT.
        WaitComplete = 4,
        /// Answer to SERVER_INFO.
        ServerInfo = 5,
        /// The client broke the protocol.
        ClientError = 16,
        /// The query was refused before it ran.
        CompileError = 17,
        /// The query failed while it ran; field `e` says how.
        RuntimeError = 18,
    }
}

wire_numbers! {
    /// Field `e` of a RUNTIME_ERROR response.
    ErrorType: u32 {
        /// A fault of the server's own.
        Internal = 1_000_000,
        /// A limit was reached.
        ResourceLimit = 2_000_000,
        /// The query asks for something that makes no sense.
        QueryLogic = 3_000_000,
        /// A missing field, row or element; `default` catches it.
        NonExistence = 3_100_000,
        /// The operation failed and had no effect.
        OpFailed = 4_100_000,
        /// The operation failed and may have had an effect.
        OpIndeterminate = 4_200_000,
        /// `r.error` was called.
        User = 5_000_000,
        /// The user may not do this.
        PermissionError = 6_000_000,
    }
}

wire_numbers! {
    /// Elements of field `n` of a sequence or partial response.
    ResponseNote: u8 {
        /// A feed on a sequence.
        SequenceFeed = 1,
        /// A feed on one document.
        AtomFeed = 2,
        /// A feed on `orderBy().limit()`.
        OrderByLimitFeed = 3,
        /// A feed made of several.
        UnionedFeed = 4,
        /// The feed carries state documents.
        IncludesStates = 5,
    }
}

wire_numbers! {
    /// First element of a term. The names are those of RethinkDB's `ql2.proto`, in CamelCase.
    #[expect(missing_docs, reason = "each term is described where it is implemented")]
    TermType: u16 {
        Datum = 1,
        MakeArray = 2,
        MakeObj = 3,
        Var = 10,
        Javascript = 11,
        Error = 12,
        ImplicitVar = 13,
        Db = 14,
        Table = 15,
        Get = 16,
        Eq = 17,
        Ne = 18,
        Lt = 19,
        Le = 20,
        Gt = 21,
        Ge = 22,
        Not = 23,
        Add = 24,
        Sub = 25,
        Mul = 26,
        Div = 27,
        Mod = 28,
        Append = 29,
        Slice = 30,
        GetField = 31,
        HasFields = 32,
        Pluck = 33,
        Without = 34,
        Merge = 35,
        BetweenDeprecated = 36,
        Reduce = 37,
        Map = 38,
        Filter = 39,
        ConcatMap = 40,
        OrderBy = 41,
        Distinct = 42,
        Count = 43,
        Union = 44,
        Nth = 45,
        InnerJoin = 48,
        OuterJoin = 49,
        EqJoin = 50,
        CoerceTo = 51,
        TypeOf = 52,
        Update = 53,
        Delete = 54,
        Replace = 55,
        Insert = 56,
        DbCreate = 57,
        DbDrop = 58,
        DbList = 59,
        TableCreate = 60,
        TableDrop = 61,
        TableList = 62,
        Funcall = 64,
        Branch = 65,
        Or = 66,
        And = 67,
        ForEach = 68,
        Func = 69,
        Skip = 70,
        Limit = 71,
        Zip = 72,
        Asc = 73,
        Desc = 74,
        IndexCreate = 75,
        IndexDrop = 76,
        IndexList = 77,
        GetAll = 78,
        Info = 79,
        Prepend = 80,
        Sample = 81,
        InsertAt = 82,
        DeleteAt = 83,
        ChangeAt = 84,
        SpliceAt = 85,
        IsEmpty = 86,
        OffsetsOf = 87,
        SetInsert = 88,
        SetIntersection = 89,
        SetUnion = 90,
        SetDifference = 91,
        Default = 92,
        Contains = 93,
        Keys = 94,
        Difference = 95,
        WithFields = 96,
        Match = 97,
        Json = 98,
        Iso8601 = 99,
        ToIso8601 = 100,
        EpochTime = 101,
        ToEpochTime = 102,
        Now = 103,
        InTimezone = 104,
        During = 105,
        Date = 106,
        Monday = 107,
        Tuesday = 108,
        Wednesday = 109,
        Thursday = 110,
        Friday = 111,
        Saturday = 112,
        Sunday = 113,
        January = 114,
        February = 115,
        March = 116,
        April = 117,
        May = 118,
        June = 119,
        July = 120,
        August = 121,
        September = 122,
        October = 123,
        November = 124,
        December = 125,
        TimeOfDay = 126,
        Timezone = 127,
        Year = 128,
        Month = 129,
        Day = 130,
        DayOfWeek = 131,
        DayOfYear = 132,
        Hours = 133,
        Minutes = 134,
        Seconds = 135,
        Time = 136,
        Literal = 137,
        Sync = 138,
        IndexStatus = 139,
        IndexWait = 140,
        Upcase = 141,
        Downcase = 142,
        Object = 143,
        Group = 144,
        Sum = 145,
        Avg = 146,
        Min = 147,
        Max = 148,
        Split = 149,
        Ungroup = 150,
        Random = 151,
        Changes = 152,
        Http = 153,
        Args = 154,
        Binary = 155,
        IndexRename = 156,
        Geojson = 157,
        ToGeojson = 158,
        Point = 159,
        Line = 160,
        Polygon = 161,
        Distance = 162,
        Intersects = 163,
        Includes = 164,
        Circle = 165,
        GetIntersecting = 166,
        Fill = 167,
        GetNearest = 168,
        Uuid = 169,
        Bracket = 170,
        PolygonSub = 171,
        ToJsonString = 172,
        Range = 173,
        Config = 174,
        Status = 175,
        Reconfigure = 176,
        Wait = 177,
        Rebalance = 179,
        Minval = 180,
        Maxval = 181,
        Between = 182,
        Floor = 183,
        Ceil = 184,
        Round = 185,
        Values = 186,
        Fold = 187,
        Grant = 188,
        SetWriteHook = 189,
        GetWriteHook = 190,
        BitAnd = 191,
        BitOr = 192,
        BitXor = 193,
        BitNot = 194,
        BitSal = 195,
        BitSar = 196,
        Format = 197,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_lead_back_to_their_names() {
        for &term in TermType::ALL {
            assert_eq!(TermType::from_number(i64::from(term.number())), Some(term));
        }
        for &version in Version::ALL {
            assert_eq!(Version::from_number(i64::from(version.number())), Some(version));
        }
        assert_eq!(TermType::ALL.len(), 187);
        assert_eq!(TermType::GetAll.number(), 78);
        assert_eq!(TermType::SetWriteHook.number(), 189);
        assert_eq!(ErrorType::NonExistence.number(), 3_100_000);
    }

    #[test]
    fn numbers_between_the_terms_are_unknown() {
        for number in [-1, 0, 4, 9, 46, 47, 63, 178, 198, 999, 65_537] {
            assert_eq!(TermType::from_number(number), None, "{number}");
        }
    }
}
