//! Queries over tables whose names are known at run time only, planned once in a session. PL/pgSQL's EXECUTE plans each
//! time anew, which takes many times as long as what a wake-up of the relay has to do.

#![expect(unsafe_code, reason = "PostgreSQL's server programming interface")]
#![expect(
    clippy::cast_ptr_alignment,
    reason = "PostgreSQL's nodes are cast by their tag, and allocated aligned"
)]

use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::CString;

use pgrx::{is_a, pg_sys};

use crate::c_function::c_function;
use crate::error::Error;
use crate::{memory, server, varlena};

/// So many plans are kept in a session; a query beyond them is planned each time.
const KEPT: usize = 64;

/// A query and the types of its parameters.
type Key = (CString, Vec<pg_sys::Oid>);

thread_local! {
    static PLANS: RefCell<HashMap<Key, pg_sys::SPIPlanPtr>> = RefCell::new(HashMap::new());
}

c_function!(
    /// `quote_prepared_rows(query text, parameters record) returns setof record`: the rows of one statement, under the caller's
    /// rights and search path, by one plan for all values of its parameters.
    prepared_rows,
    pg_finfo_prepared_rows,
    |fcinfo| {
        // SAFETY: it comes from PostgreSQL's function manager.
        unsafe { rows(fcinfo, Sight::OfTransaction) }
    }
);

c_function!(
    /// `quote_latest_rows(query text, parameters record) returns setof record`: the same of what is committed by now, also in a transaction
    /// that looks at the database as it was when it began. The statement must not write.
    latest_rows,
    pg_finfo_latest_rows,
    |fcinfo| {
        // SAFETY: as above.
        unsafe { rows(fcinfo, Sight::OfNow) }
    }
);

/// What a query sees.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sight {
    OfTransaction,
    OfNow,
}

/// # Safety
/// `fcinfo` must come from PostgreSQL's function manager.
unsafe fn rows(fcinfo: pg_sys::FunctionCallInfo, sight: Sight) -> Result<pg_sys::Datum, Error> {
    // SAFETY: connect and finish are paired, also where the query fails, and an ERROR between them ends the (sub)transaction, which cleans up. The store
    // of rows and its description belong to the caller's query.
    unsafe {
        let result = receiver_of_rows(fcinfo).ok_or(Error::PreparedCall)?;
        let (Some(query), Some(row)) = (pgrx::pg_getarg_datum(fcinfo, 0), pgrx::pg_getarg_datum(fcinfo, 1))
        else {
            return Err(Error::PreparedCall);
        };
        let query = CString::new(varlena::payload(query)).map_err(|_| Error::PreparedCall)?;
        let parameters = Parameters::of(row);
        let store = give_rows(result);
        let connected = pg_sys::SPI_connect();
        if connected != pg_sys::SPI_OK_CONNECT.cast_signed() {
            return Err(Error::Spi("connecting for a prepared query", connected));
        }
        let options = pg_sys::SPIExecuteOptions {
            params: parameters.list(),
            read_only: sight == Sight::OfNow,
            must_return_tuples: true,
            dest: server::into_store(store, (*result).setDesc),
            ..Default::default()
        };
        // A statement that only reads sees what the active snapshot shows.
        if sight == Sight::OfNow {
            pg_sys::PushActiveSnapshot(pg_sys::GetLatestSnapshot());
        }
        let done = plan((query, parameters.types))
            .map(|plan| pg_sys::SPI_execute_plan_extended(plan, &raw const options));
        if sight == Sight::OfNow {
            pg_sys::PopActiveSnapshot();
        }
        pg_sys::SPI_finish();
        match done? {
            failed if failed < 0 => Err(Error::Spi("executing a prepared query", failed)),
            _ => Ok(pg_sys::Datum::null()),
        }
    }
}

/// What the caller takes rows with; `None` when it takes none, or does not say of which columns.
///
/// # Safety
/// `fcinfo` must come from PostgreSQL's function manager.
unsafe fn receiver_of_rows(fcinfo: pg_sys::FunctionCallInfo) -> Option<*mut pg_sys::ReturnSetInfo> {
    // SAFETY: resultinfo is null or a node, and a ReturnSetInfo when its tag says so.
    unsafe {
        let result = (*fcinfo).resultinfo;
        if result.is_null() || !is_a(result, pg_sys::NodeTag::T_ReturnSetInfo) {
            return None;
        }
        let result = result.cast::<pg_sys::ReturnSetInfo>();
        let materialize = pg_sys::SetFunctionReturnMode::SFRM_Materialize.cast_signed();
        ((*result).allowedModes & materialize != 0 && !(*result).expectedDesc.is_null()).then_some(result)
    }
}

/// Gives the caller a store of rows, which is still empty.
///
/// # Safety
/// `result` must be of the current call and name the columns it expects.
unsafe fn give_rows(result: *mut pg_sys::ReturnSetInfo) -> *mut pg_sys::Tuplestorestate {
    // SAFETY: per contract: store and description live as long as the caller's query.
    unsafe {
        let _scope = memory::Scope::enter((*(*result).econtext).ecxt_per_query_memory);
        let random = pg_sys::SetFunctionReturnMode::SFRM_Materialize_Random.cast_signed();
        let store =
            pg_sys::tuplestore_begin_heap((*result).allowedModes & random != 0, false, pg_sys::work_mem);
        (*result).returnMode = pg_sys::SetFunctionReturnMode::SFRM_Materialize;
        (*result).setResult = store;
        (*result).setDesc = pg_sys::CreateTupleDescCopy((*result).expectedDesc);
        store
    }
}

/// The fields of a row as the parameters of a query.
struct Parameters {
    types: Vec<pg_sys::Oid>,
    values: Vec<Option<pg_sys::Datum>>,
}

impl Parameters {
    /// # Safety
    /// `row` must be a composite datum; it must outlive the use of the values, and so must the current memory context.
    unsafe fn of(row: pg_sys::Datum) -> Self {
        // SAFETY: per contract; the header of a row says which type it has, and deforming fills a place per attribute.
        unsafe {
            let header = pg_sys::pg_detoast_datum(row.cast_mut_ptr()).cast::<pg_sys::HeapTupleHeaderData>();
            let kind = pgrx::heap_tuple_header_get_type_id(header);
            let columns = pg_sys::lookup_rowtype_tupdesc(kind, pgrx::heap_tuple_header_get_typmod(header));
            let columns = pgrx::PgTupleDesc::from_pg(columns);
            let length = pgrx::heap_tuple_header_get_datum_length(header);
            let mut tuple = pg_sys::HeapTupleData {
                t_len: u32::try_from(length).unwrap_or_default(),
                t_data: header,
                ..Default::default()
            };
            let (mut values, mut nulls) =
                (vec![pg_sys::Datum::null(); columns.len()], vec![false; columns.len()]);
            pg_sys::heap_deform_tuple(
                &raw mut tuple,
                columns.as_ptr(),
                values.as_mut_ptr(),
                nulls.as_mut_ptr(),
            );
            let values = columns
                .iter()
                .zip(values.into_iter().zip(nulls))
                .map(|(column, (value, is_null))| (!is_null).then(|| expanded(value, column.attlen)))
                .collect();
            Self { types: columns.iter().map(|column| column.atttypid).collect(), values }
        }
    }

    /// As PostgreSQL takes them, in the current memory context.
    fn list(&self) -> pg_sys::ParamListInfo {
        // SAFETY: the list has one place per value.
        unsafe {
            let list = pg_sys::makeParamList(i32::try_from(self.values.len()).unwrap_or_default());
            for (place, (value, kind)) in self.values.iter().zip(&self.types).enumerate() {
                *(*list).params.as_mut_ptr().add(place) = pg_sys::ParamExternData {
                    value: value.unwrap_or(pg_sys::Datum::null()),
                    isnull: value.is_none(),
                    pflags: u16::try_from(pg_sys::PARAM_FLAG_CONST).unwrap_or_default(),
                    ptype: *kind,
                };
            }
            list
        }
    }
}

/// A value that is not packed: a row packs its fields, and a function that reads one would unpack it for each row that it looks at.
///
/// # Safety
/// `value` must be a datum of a type of this length, and not null.
unsafe fn expanded(value: pg_sys::Datum, length: i16) -> pg_sys::Datum {
    if length != -1 {
        return value;
    }
    // SAFETY: per contract: a varlena.
    unsafe { pg_sys::Datum::from(pg_sys::pg_detoast_datum(value.cast_mut_ptr())) }
}

/// The plan of a query. PostgreSQL makes it anew when what it stands on has changed.
///
/// # Safety
/// SPI must be connected.
unsafe fn plan(key: Key) -> Result<pg_sys::SPIPlanPtr, Error> {
    if let Some(plan) = PLANS.with_borrow(|plans| plans.get(&key).copied()) {
        return Ok(plan);
    }
    let (query, types) = &key;
    // SAFETY: SPI is connected per contract; a plan that is kept is never freed.
    unsafe {
        let count = i32::try_from(types.len()).unwrap_or_default();
        let options = pg_sys::CURSOR_OPT_GENERIC_PLAN.cast_signed();
        let plan = pg_sys::SPI_prepare_cursor(query.as_ptr(), count, types.as_ptr().cast_mut(), options);
        if plan.is_null() {
            return Err(Error::Spi("preparing a query", pg_sys::SPI_result));
        }
        if PLANS.with_borrow(HashMap::len) < KEPT {
            pg_sys::SPI_keepplan(plan);
            PLANS.with_borrow_mut(|plans| plans.insert(key, plan));
        }
        Ok(plan)
    }
}
